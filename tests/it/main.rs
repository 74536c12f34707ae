//! The house as its users meet it: the real server, the real database, the repository itself.

#![cfg(test)]

mod house;
mod simulator;
