//! Tests of requests, profiles and what is made of them, with files in folders of their own.

mod faults;
mod folder;
mod making;
mod summaries;
