//! A low limit of open files, as the log tells it.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::harness::{Child, patiently};

const FEW_FILES: &str = "may open few files";

#[tokio::test]
async fn it_is_a_warning_in_production() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", folder.path().join("kabar.db").display());
    let server = Child::start_with_descriptors(256, folder.path(), &database).await;
    let told: Vec<_> = server.log.lines().filter(|line| line.contains(FEW_FILES)).collect();
    assert!(told.len() == 1 && told[0].contains("WARN"), "{}", server.log);
}

#[tokio::test]
async fn it_is_no_warning_on_the_machine_of_a_developer() {
    let folder = tempfile::tempdir().unwrap();
    let dev = "ulimit -n 256; exec \"$0\" dev --set listen=127.0.0.1:0 --set dev.traffic_per_minute=0 2>&1";
    let mut process = Command::new("/bin/sh")
        .args(["-c", dev, env!("CARGO_BIN_EXE_kabar")])
        .env_clear()
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let told = patiently(async {
        let mut told = Vec::new();
        loop {
            let line = lines.next_line().await.unwrap().unwrap();
            if line.contains("Ctrl-C stops") {
                return told;
            }
            told.extend(line.contains(FEW_FILES).then_some(line));
        }
    })
    .await;
    assert!(told.len() == 1 && told[0].contains("INFO"), "{told:?}");
}
