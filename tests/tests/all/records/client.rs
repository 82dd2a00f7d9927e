//! The client's part: a record is sent with the digests of its data, kept, and verified by somebody who has the kept file,
//! the log's key, and nothing else.

use std::fs;
use std::path::Path;

use cairn_tests::command::{Ran, cairn, cairn_with_input};
use serde_json::json;

use super::{Running, record};

/// A producer that may read what it sent, with a folder of its own.
struct Producer {
    running: Running,
    token: String,
    folder: tempfile::TempDir,
}

impl Producer {
    fn start() -> Self {
        let running = Running::start();
        let token = running.new_token(&["--rights", "append,read,disclose:secret"]);
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("plans/old")).unwrap();
        fs::write(folder.path().join("plans/a.pdf"), "plan a").unwrap();
        fs::write(folder.path().join("plans/old/b.pdf"), "plan b").unwrap();
        Self { running, token, folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn record(&self, body: &str, further: &[&str]) -> Ran {
        let url = format!("http://{}/logs/main", self.running.server.address());
        let key = &self.running.data.main.vkey;
        let arguments = ["record", "--json", "--url", &url, "--token", &self.token, "--key", key];
        cairn_with_input([&arguments[..], further, &["-"]].concat(), body.as_bytes())
    }

    fn verify(&self, further: &[&str]) -> Ran {
        let (saved, key) = (self.path("saved.json"), &self.running.data.main.vkey);
        cairn([&["verify", "record", &saved, "--json", "--key", key][..], further].concat())
    }
}

#[test]
fn a_record_is_sent_kept_and_verified_offline_with_its_data() {
    let producer = Producer::start();
    let (saved, plans) = (producer.path("saved.json"), producer.path("plans"));
    let body = record("pb", "PB-1", "create").to_string();
    let kept = ["--attach", &plans, "--save", &saved, "--idempotency-key", "once"];
    let sent = producer.record(&body, &kept);
    assert_eq!((sent.code, sent.stderr.as_str()), (0, ""), "{sent:?}");
    let report = sent.json()[0].clone();
    assert_eq!((&report["verified"], &report["index"], &report["seq"]), (&json!(true), &json!(0), &json!(0)));
    // Under the same key it is there once.
    let again = producer.record(&body, &kept).json()[0].clone();
    assert_eq!((&again["id"], &again["index"], producer.running.size()), (&report["id"], &json!(0), 1));

    // Nobody answers any more: the file and the key are enough.
    let Producer { running, token, folder } = producer;
    let main = running.data.main.vkey.clone();
    running.server.stop();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let verify = |further: &[&str]| {
        cairn([&["verify", "record", &path("saved.json"), "--json", "--key", &main][..], further].concat())
    };
    let verified = verify(&["--up-to", "secret", "--attach", &plans]);
    assert_eq!(verified.code, 0, "{verified:?}");
    let verdict = verified.json()[0].clone();
    assert_eq!((&verdict["verified"], &verdict["id"], &verdict["withheld"]), (&json!(true), &report["id"], &json!(0)));
    assert_eq!(verdict["attached"], json!({"same": 2, "changed": [], "missing": [], "new": []}));
    assert_eq!(verdict["view"]["values"]["whole"]["/iban"], json!({"class": "secret", "new": "DE02"}));
    assert!(!verified.stdout.contains(&token));

    change(Path::new(&plans));
    let changed = verify(&["--attach", &plans]);
    assert_eq!(changed.code, 1);
    let attached = json!({"same": 0, "changed": ["a.pdf"], "missing": ["old/b.pdf"], "new": ["c.pdf"]});
    assert_eq!(changed.json()[0]["attached"], attached);
}

#[test]
fn a_large_data_set_has_one_digest_and_what_became_of_its_files_is_named() {
    let producer = Producer::start();
    let (saved, scans) = (producer.path("saved.json"), producer.path("scans"));
    fs::create_dir(&scans).unwrap();
    (0..300).for_each(|number| fs::write(Path::new(&scans).join(format!("{number:03}.tif")), [number as u8]).unwrap());
    let body = record("pb", "PB-1", "create").to_string();
    // Without a place for its listing nothing is sent.
    let refused = producer.record(&body, &["--attach", &scans]);
    assert!(refused.code == 2 && refused.stderr.contains("--listings DIR"), "{refused:?}");
    assert_eq!(producer.running.size(), 0);
    let sent = producer.record(&body, &["--attach", &scans, "--save", &saved]);
    assert_eq!((sent.code, sent.stderr.as_str()), (0, ""), "{sent:?}");
    let listing = sent.json()[0]["listings"][0].as_str().unwrap().to_owned();
    let good = producer.verify(&["--up-to", "secret", "--attach", &scans]);
    assert_eq!((good.code, &good.json()[0]["attached"]["same"]), (0, &json!(300)), "{good:?}");
    let external = &good.json()[0]["view"]["attributes"]["external"][0];
    let told = (&external["name"], &external["size"], &external["media_type"]);
    assert_eq!(told, (&json!("scans/"), &json!(300), &json!("text/vnd.cairn.sha256sum")), "{external}");

    fs::write(Path::new(&scans).join("007.tif"), "8").unwrap();
    fs::remove_file(Path::new(&scans).join("299.tif")).unwrap();
    fs::write(Path::new(&scans).join("300.tif"), "").unwrap();
    let changed = producer.verify(&["--attach", &scans]);
    let attached =
        json!({"same": 298, "changed": ["scans/007.tif"], "missing": ["scans/299.tif"], "new": ["scans/300.tif"]});
    assert_eq!((changed.code, &changed.json()[0]["attached"]), (1, &attached));
    // Whoever changes the listing too is found out by its digest.
    fs::write(&listing, fs::read_to_string(&listing).unwrap().replace("007.tif", "077.tif")).unwrap();
    let forged = producer.verify(&["--attach", &scans]);
    assert_eq!((forged.code, &forged.json()[0]["attached"]["changed"]), (1, &json!(["scans/"])));
    assert!(forged.stderr.contains("--listing"), "{forged:?}");
}

#[test]
fn whoever_keeps_a_record_that_shows_him_no_digests_is_told() {
    let mut producer = Producer::start();
    producer.token = producer.running.new_token(&["--rights", "append,read,disclose:internal"]);
    let (saved, plans) = (producer.path("saved.json"), producer.path("plans"));
    let body = record("pb", "PB-1", "create").to_string();
    let with = |class| producer.record(&body, &["--attach", &plans, "--save", &saved, "--attach-class", class]);
    let seen = with("internal");
    assert_eq!((seen.code, seen.stderr.as_str()), (0, ""), "{seen:?}");
    assert_eq!(producer.verify(&["--attach", &plans]).code, 0);
    let unseen = with("restricted");
    assert!(unseen.code == 0 && unseen.stderr.contains("the digests are withheld from this token"), "{unseen:?}");
    let unverified = producer.verify(&["--attach", &plans]);
    assert!(unverified.code == 1 && unverified.stderr.contains("withheld from whoever saved it"), "{unverified:?}");
}

#[test]
fn a_link_in_a_data_set_is_told_of() {
    let producer = Producer::start();
    let plans = producer.path("plans");
    std::os::unix::fs::symlink("a.pdf", Path::new(&plans).join("link.pdf")).unwrap();
    let body = record("pb", "PB-1", "create").to_string();
    let refused = producer.record(&body, &["--attach", &plans]);
    assert!(refused.code == 2 && refused.stderr.contains("--links follow"), "{refused:?}");
    let sent = producer.record(&body, &["--attach", &plans, "--links", "skip"]);
    assert_eq!((sent.code, &sent.json()[0]["left_out"]), (0, &json!(1)));
    assert!(sent.stderr.contains("left out: the link") && sent.stderr.contains("link.pdf"), "{sent:?}");
}

fn change(plans: &Path) {
    fs::write(plans.join("a.pdf"), "plan A").unwrap();
    fs::remove_file(plans.join("old/b.pdf")).unwrap();
    fs::write(plans.join("c.pdf"), "").unwrap();
}

#[test]
fn what_is_withheld_from_a_reader_is_above_what_it_may_see() {
    let producer = Producer::start();
    let saved = producer.path("saved.json");
    let body = record("pb", "PB-1", "create").to_string();
    assert_eq!(producer.record(&body, &["--save", &saved]).code, 0);
    let id = producer.verify(&[]).json()[0]["id"].as_str().unwrap().to_owned();
    // A reader of internal fields keeps what it was shown.
    let token = producer.running.new_token(&["--rights", "read,disclose:internal"]);
    let target = format!("/v1/records/{id}");
    let seen = producer.running.ask_with(&token, cairn_tests::http::Request::get(target));
    fs::write(&saved, &seen.body).unwrap();
    let good = producer.verify(&["--up-to", "internal"]);
    assert_eq!((good.code, &good.json()[0]["withheld"]), (0, &json!(2)));
    let lacking = producer.verify(&["--up-to", "restricted"]);
    assert!(lacking.code == 1 && lacking.stdout.contains("withheld from a reader who may see it"), "{lacking:?}");
}

#[test]
fn a_record_without_an_id_gets_one_of_version_7_and_the_same_one_again() {
    let producer = Producer::start();
    let body = record("pb", "PB-1", "create").to_string();
    let id = |sent: &Ran| sent.json()[0]["id"].as_str().unwrap().to_owned();
    let drawn = id(&producer.record(&body, &[]));
    assert_eq!(&drawn[14..15], "7", "{drawn}");
    // One that is laid out as a UUID of version 7 has the moment; so has the record, if it has a time.
    let key = ["--idempotency-key", "01939f5a7c007a3b8c4d5e6f708192a3"];
    let (first, again) = (producer.record(&body, &key), producer.record(&body, &key));
    assert!(id(&first).starts_with("01939f5a-7c00-7"), "{first:?}");
    assert_eq!((id(&again), &again.json()[0]["replayed"]), (id(&first), &json!(true)));
    let mut timed = record("pb", "PB-1", "update");
    timed["time"] = json!("2024-12-07T10:00:00Z");
    let named = producer.record(&timed.to_string(), &["--idempotency-key", "nightly"]);
    assert!(id(&named).starts_with("0193a08f-d100-") && &id(&named)[14..15] == "7", "{named:?}");
    assert_eq!(producer.running.size(), 3);
}

#[test]
fn what_can_not_be_sent_is_told_with_its_place() {
    let producer = Producer::start();
    for (body, words) in [("{}", "/object: this member is missing"), ("[]", "one JSON object")] {
        let refused = producer.record(body, &[]);
        assert!(refused.code == 2 && refused.stderr.contains(words), "{refused:?}");
    }
    // The server's words come through.
    let mut late = record("pb", "PB-1", "create");
    late["expected_seq"] = json!(7);
    let refused = producer.record(&late.to_string(), &[]);
    assert!(refused.code == 1 && refused.stderr.contains("no record yet"), "{refused:?}");
    assert_eq!(producer.running.size(), 0);
}
