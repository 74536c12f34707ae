//! Pauses of a node (`SIGSTOP`, then `SIGCONT`) at a moment that the injector chooses.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::Injector;
use crate::cluster::links::Peer;
use crate::os_process;
use crate::tcp_proxy::LinkMode;
use crate::workload::writers::touch_cold_accounts;

/// Clients that load accounts at the same moment.
const LOADERS: usize = 100;
/// Time between the end of a lease and the first question to the others.
const MARGIN: Duration = Duration::from_millis(300);
/// Time until a change of a link has reached every connection.
const LINK_CHANGE: Duration = Duration::from_millis(100);
/// Longest wait for a node to begin a send; one that owns no account begins none.
const NEXT_SEND: Duration = Duration::from_secs(2);
/// Time in which more sends get as far as the first one.
const MORE_SENDS: Duration = Duration::from_millis(200);

impl Injector {
    pub(super) async fn pause(&self, node: usize, wait: Duration) {
        self.session.avoid(Some(node));
        self.cluster.nodes[node].lock().await.signal(Signal::STOP);
        sleep(wait).await;
        self.cluster.nodes[node].lock().await.signal(Signal::CONT);
        self.session.avoid(None);
    }

    /// Many accounts are asked for at one node, which is stopped in the middle of loading them. The others take them
    /// over and write to them; then the first one goes on, and is asked again.
    pub(super) async fn pause_while_loading(&self, node: usize, wait: Duration, chance: u64) {
        let other = (node + 1) % self.cluster.nodes.len();
        let touch = |node, renames, salt| {
            let clients =
                (0..LOADERS).map(|nth| self.session.client(chance.wrapping_add(salt), nth)).collect();
            touch_cold_accounts(&self.world, clients, node, renames)
        };
        let loading = touch(node, false, 0);
        let stopped = async {
            sleep(Duration::from_millis(20 + chance % 300)).await;
            self.session.avoid(Some(node));
            self.cluster.nodes[node].lock().await.signal(Signal::STOP);
            let go_on = async {
                sleep(wait).await;
                self.cluster.nodes[node].lock().await.signal(Signal::CONT);
                self.session.avoid(None);
            };
            let others = async {
                sleep(Duration::from_secs(self.cluster.options.lease_seconds) + MARGIN).await;
                touch(other, true, 1).await;
            };
            tokio::join!(go_on, others);
            tokio::join!(touch(other, true, 2), touch(node, false, 3));
        };
        tokio::join!(loading, stopped);
    }

    /// Holds a node's calls to the Graph API while they connect, which is after their attempts have become durable,
    /// and stops the node there. Another one takes its accounts over and sends the messages when the attempts have
    /// settled; then the first one goes on, with its connections there. Begins with the given node; returns the one
    /// that had sends to make.
    pub(super) async fn pause_at_connect(&self, first: usize, wait: Duration) -> Option<usize> {
        let count = self.cluster.nodes.len();
        for node in (first..first + count).map(|nth| nth % count) {
            let set = |mode| self.cluster.links.set(Peer::Node(node), Peer::Graph, mode);
            // Connections of earlier calls would be used again.
            set(LinkMode::Cut);
            sleep(LINK_CHANGE).await;
            set(LinkMode::ConnectHeld);
            sleep(LINK_CHANGE).await;
            let until = Instant::now() + NEXT_SEND;
            let port = self.cluster.graph_addresses[node].port();
            while !os_process::is_connecting(port) && Instant::now() < until {
                sleep(Duration::from_millis(1)).await;
            }
            if os_process::is_connecting(port) {
                sleep(MORE_SENDS).await;
                let open = async {
                    sleep(LINK_CHANGE).await;
                    set(LinkMode::Open);
                };
                tokio::join!(self.pause(node, wait), open);
                return Some(node);
            }
            set(LinkMode::Open);
        }
        None
    }
}
