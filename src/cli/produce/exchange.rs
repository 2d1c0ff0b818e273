//! One call: sends what a delivery has and brings it the answers, both at once.
//!
//! It runs on the thread that owns the connection, so that a message costs no change of threads.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::{ClientDuplexReceiver, ClientDuplexSender, WriteFlags};
use parking_lot::Mutex;

use super::delivery::{Delivery, Unfitting};
use crate::proto::log_service::{ProduceRequest, ProduceResponse};

/// Why a call ended that was not to end yet.
#[derive(Debug)]
pub(super) enum Broken {
    Call(grpcio::Error),
    Unfitting(Unfitting),
}

/// Sends and receives until the call is over.
pub(super) async fn exchange(
    mut sender: ClientDuplexSender<ProduceRequest>,
    receiver: ClientDuplexReceiver<ProduceResponse>,
    delivery: Arc<Mutex<Delivery>>,
) -> Result<(), Broken> {
    // The sender lives until the answer is there: dropped, it cancels the call, and that would take
    // the place of what the server says.
    match select(pin!(receive(receiver, &delivery)), pin!(send(&mut sender, &delivery))).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(((), receiving)) => receiving.await,
    }
}

/// Sends what there is. Also after bad input the call is closed and not cut, so that what was sent
/// is answered.
async fn send(sender: &mut ClientDuplexSender<ProduceRequest>, delivery: &Mutex<Delivery>) {
    while let Some(request) = poll_fn(|cx| delivery.lock().poll_request(cx)).await {
        if sender.send((request, WriteFlags::default())).await.is_err() {
            // The call is over, and its answer says why.
            return;
        }
    }
    let _ = sender.close().await;
}

async fn receive(
    mut receiver: ClientDuplexReceiver<ProduceResponse>,
    delivery: &Mutex<Delivery>,
) -> Result<(), Broken> {
    while let Some(response) = receiver.next().await {
        let response = response.map_err(Broken::Call)?;
        delivery.lock().answer(&response).map_err(Broken::Unfitting)?;
    }
    Ok(())
}
