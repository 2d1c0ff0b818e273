//! Tests with certificates that are made on the spot, good ones and every kind of bad one.

mod credentials;
mod identity;
mod maker;
mod readers;
mod revocation;
