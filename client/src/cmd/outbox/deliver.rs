//! `cairn outbox deliver`: from the outbox to the log, once or until it is told to stop.

use core::fmt;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tokio::sync::watch;

use super::{OutboxOptions, shown};
use crate::cmd::duration::Span;
use crate::cmd::failure::Failure;
use crate::cmd::logging::LoggingOptions;
use crate::cmd::options::{RemoteOptions, TrustOptions};
use crate::cmd::stop::Stop;
use crate::cmd::terminal::{Form, Terminal};
use crate::outbox::{Delivery, Ended, Outbox, Policy, Target, bounds, listen};

/// Deliver what is in the outbox, and serve other commands that put something into it, until Ctrl-C or SIGTERM.
///
/// Another command that has the outbox open for a moment is waited for, up to ten seconds.
/// Records count as delivered when the answer is verified under the log's key; then they leave this disk. If the log goes
/// on from another one, that one may have had some already: give its --key as well.
#[derive(Debug, Args)]
pub(super) struct Deliver {
    #[command(flatten)]
    outbox: OutboxOptions,
    #[command(flatten)]
    remote: RemoteOptions,
    #[command(flatten)]
    trust: TrustOptions,
    /// Try everything once, then end: with exit code 1 if anything is left.
    #[arg(long)]
    once: bool,
    /// The folder where the leaf of each record and its receipt are kept, for `cairn verify`.
    #[arg(long, value_name = "DIR")]
    receipts: Option<PathBuf>,
    /// How many batches are on their way at a time.
    #[arg(long, value_name = "N", default_value_t = bounds::PARALLEL, value_parser = parallel)]
    parallel: usize,
    /// The longest wait between two attempts, unless the server asks for more.
    #[arg(long, value_name = "TIME", default_value_t = Span(bounds::LONGEST_BACKOFF))]
    longest_backoff: Span,
    #[command(flatten)]
    logging: LoggingOptions,
}

#[derive(Serialize)]
struct Report {
    delivered: u64,
    left: usize,
}

fn parallel(text: &str) -> Result<usize, String> {
    let most = bounds::MOST_PARALLEL;
    text.parse().ok().filter(|n| (1..=most).contains(n)).ok_or_else(|| format!("must be 1 to {most}"))
}

impl Deliver {
    pub(super) async fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let mut trusted = self.trust.each()?.into_iter();
        let unsaid = || Failure::Usage("whom to trust: give --key VKEY or --policy FILE".to_owned());
        let trust = trusted.next().ok_or_else(unsaid)?;
        let target = Target::new(&self.remote.url()?, self.remote.settings()?, trust)?.with_earlier(trusted);
        let longest_backoff = self.longest_backoff.0;
        let policy = Policy {
            parallel: self.parallel,
            first_backoff: bounds::FIRST_BACKOFF.min(longest_backoff),
            longest_backoff,
            receipts: self.receipts,
        };
        // Before the outbox is opened, which may have something to warn of.
        let _told = if self.once { None } else { Some(self.logging.start()?) };
        let outbox = self.outbox.open_soon(true).await?;
        let delivery = Delivery::new(outbox.clone(), target, policy);
        if self.once {
            let Ended { delivered, left } = delivery.run_once().await.map_err(failed)?;
            terminal.output.print(form, &Report { delivered, left })?;
            let status = outbox.status();
            return if left == 0 { Ok(()) } else { Err(Failure::Refused(status.to_string())) };
        }
        serve(&self.outbox, outbox, &delivery, terminal).await
    }
}

async fn serve(
    options: &OutboxOptions,
    outbox: Outbox,
    delivery: &Delivery,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let (stop, stopping) = watch::channel(false);
    let socket = listen(&options.folder, outbox, stopping).map_err(|error| Failure::Refused(error.to_string()))?;
    let socket = tokio::spawn(socket);
    let mut wish = Stop::new()?;
    terminal.output.line(format_args!("cairn outbox is ready in {}", shown(&options.folder)))?;
    let ended = delivery.run(wish.wished()).await;
    // Nobody listens only if everything has ended already.
    let _ = stop.send(true);
    // What came in is answered before the outbox is closed.
    let _ = socket.await;
    ended.map_err(failed)
}

fn failed(error: crate::outbox::DeliveryError) -> Failure {
    match error {
        error @ crate::outbox::DeliveryError::Damaged(_) => Failure::Damaged(error.to_string()),
        error => Failure::Refused(error.to_string()),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { delivered, left } = self;
        write!(f, "{delivered} batches delivered, {left} left")
    }
}
