//! The published vectors go through the engine: the leaves come out as another implementation has made them.

use std::fs;

use base64::Engine as _;
use cairn_tree::record::leaf::Leaf;
use serde_json::Value;

use super::*;

fn vector(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/record").join(name)).unwrap()
}

fn salts_of(list: &Value) -> impl FnMut() -> Salt + use<> {
    let decode = |salt: &Value| {
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(salt.as_str().unwrap()).unwrap();
        Salt::new(bytes.try_into().unwrap())
    };
    let mut salts = list.as_array().unwrap().iter().map(decode).collect::<Vec<_>>().into_iter();
    move || salts.next().unwrap()
}

#[test]
fn a_stream_of_the_published_vectors_comes_out_byte_for_byte() {
    let world = World::new();
    let origin = "log.example/logs/licences";
    let key = KeyName::new(origin).unwrap();
    let key = SignerKey::from_seed(key, SignatureType::ED25519, &[1; 32]).unwrap();
    let terms = Terms { origin: origin.to_owned(), ..terms("licences") };
    world.runtime.block_on(world.engine.create_log(terms, vec![key])).unwrap();
    let secret = make_secret(&world, "licences");
    let log = world.engine.log("licences").unwrap();
    let first: Value = serde_json::from_slice(&vector("licence-created.case.json")).unwrap();
    let name = first["opening"]["stream"].to_string();
    let name = StreamName::parse(&name).unwrap();
    let opening = Opening::new(&name, None, None, salts_of(&first["opening"]["salts"])).unwrap();
    let mut chain = Chain::new(Origin::new(origin).unwrap(), opening.id());
    for (index, case) in ["licence-created", "licence-changed", "licence-corrected"].into_iter().enumerate() {
        let leaf = vector(&format!("{case}.leaf"));
        let decoded = Leaf::decode(&leaf).unwrap();
        let kept = Disclosures::parse(core::str::from_utf8(&vector(&format!("{case}.disclosures"))).unwrap()).unwrap();
        let of_opening = |digest: &_| opening.disclosures().iter().any(|(other, _)| other == *digest);
        world.clock.set(decoded.server().time.millis());
        let submission = Submission {
            event: decoded.event().to_text(),
            signature: decoded.signature().copied(),
            disclosures: kept.filtered(|digest| !of_opening(digest)),
            opening: opening.clone(),
            by: decoded.server().by,
            fresh_id: false,
            stream: name_print(&secret, &name),
            id: id_print(&secret, decoded.event().head().id),
            prints: Vec::new(),
            opening_prints: Vec::new(),
            expected: Expectation::default(),
        };
        let recorded = world.runtime.block_on(log.append_records(vec![submission], None)).unwrap();
        let head = log.head();
        let stored = log.stored_record(&head, recorded.records[0].index).unwrap().unwrap();
        assert_eq!(core::str::from_utf8(&stored.leaf).unwrap(), core::str::from_utf8(&leaf).unwrap(), "{case}");
        let sorted = |disclosures: &Disclosures| {
            let mut texts: Vec<String> = disclosures.iter().map(|(_, text)| text.to_owned()).collect();
            texts.sort();
            texts
        };
        assert_eq!(sorted(&stored.disclosures), sorted(&kept), "{case}");
        let (record, _) = opened(&log, &head, index as u64);
        chain.push_record(&record).unwrap();
    }
    assert_eq!(chain.head().unwrap().seq.get(), 2);
}
