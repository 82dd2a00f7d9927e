// Writes the vectors of tests/vectors/cosignatures with filippo.io/mldsa and Go's transparency-log packages, which share
// no code with Cairn. Run it in this folder: go run . (Ed25519 cosignatures carry the time of the run, and ML-DSA-44 ones
// are randomized; the keys, the policy and ml-dsa-44.jsonl come out the same.)
package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"

	"filippo.io/mldsa"
	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	origin = "log.example/both"
	size   = 300
	// The time of signatures whose time can be chosen.
	when = 1_700_000_000
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

// The skey and the vkey of a name and a type; the seed is the hash of both.
func key(name string, kind byte) (string, string) {
	seed := sha256.Sum256(append([]byte(name), kind))
	var public []byte
	if kind == 6 {
		public = must(mldsa.NewPrivateKey(mldsa.MLDSA44(), seed[:])).PublicKey().Bytes()
	} else {
		public = ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
	}
	typed := append([]byte{kind}, public...)
	hash := sha256.Sum256(append([]byte(name+"\n"), typed...))
	id := binary.BigEndian.Uint32(hash[:])
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", name, id, encode(append([]byte{kind}, seed[:]...))),
		fmt.Sprintf("%s+%08x+%s", name, id, encode(typed))
}

// A signer of type 6 whose time can be chosen.
type timed struct {
	*fnote.SubtreeSigner
	time uint64
}

func (s timed) Sign(message []byte) ([]byte, error) {
	var head log.Checkpoint
	if _, err := head.Unmarshal(message); err != nil {
		return nil, err
	}
	return s.SignSubtree(s.time, head.Origin, 0, head.Size, head.Hash)
}

type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	read := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		read[i] = h[index]
	}
	return read, nil
}

func entry(n int64) []byte { return fmt.Appendf(nil, "entry %d of the vectors", n) }

func write(name string, data []byte) { check(os.WriteFile("../"+name, data, 0o644)) }

func main() {
	var stored hashes
	for n := int64(0); n < size; n++ {
		stored = append(stored, must(tlog.StoredHashes(n, entry(n), stored))...)
	}
	root := must(tlog.TreeHash(size, stored))
	text := string(log.Checkpoint{Origin: origin, Size: size, Hash: root[:]}.Marshal())
	sign := func(text string, signers ...note.Signer) []byte {
		return must(note.Sign(&note.Note{Text: text}, signers...))
	}

	edSkey, edVkey := key(origin, 1)
	mlSkey, mlVkey := key(origin, 6)
	oldSkey, oldVkey := key("w.example", 4)
	newSkey, newVkey := key("w.example", 6)
	write("log-ed25519.vkey", []byte(edVkey+"\n"))
	write("log.skey", []byte(mlSkey+"\n"))
	write("log.vkey", []byte(mlVkey+"\n"))
	write("witness.skey", []byte(newSkey+"\n"))
	write("witness.vkey", []byte(newVkey+"\n"))
	write("ml-dsa.policy", fmt.Appendf(nil,
		"log %s\nlog %s\nwitness old %s\nwitness new %s\ngroup both all old new\nquorum both\n",
		edVkey, mlVkey, oldVkey, newVkey))

	edLog := must(note.NewSigner(edSkey))
	mlLog := timed{must(fnote.NewMLDSASigner(mlSkey)), when}
	old := must(fnote.NewSignerForCosignatureV1(oldSkey))
	newer := timed{must(fnote.NewMLDSASigner(newSkey)), when + 1}
	noTime := timed{must(fnote.NewMLDSASigner(newSkey)), 0}

	write("ml-dsa.checkpoint", sign(text, mlLog))
	write("no-time.checkpoint", sign(text, mlLog, noTime))
	write("extended.checkpoint", sign(text+"extension\n", edLog, mlLog, newer))
	both := sign(text, edLog, mlLog, old, newer)
	write("both.checkpoint", both)
	record := must(tlog.ProveRecord(size, 257, stored))
	receipt := proof.TLogProof{Index: 257, Checkpoint: both}
	for _, hash := range record {
		receipt.Hashes = append(receipt.Hashes, hash)
	}
	write("entry", entry(257))
	write("both.tlog-proof", receipt.Marshal())

	// Keys from seeds, and deterministic signatures with an empty context.
	var lines []byte
	for n := range 8 {
		seed := sha256.Sum256(fmt.Appendf(nil, "seed %d", n))
		message := make([]byte, n*97)
		for i := range message {
			message[i] = byte(i * n)
		}
		private := must(mldsa.NewPrivateKey(mldsa.MLDSA44(), seed[:]))
		line := must(json.Marshal(map[string][]byte{
			"seed": seed[:], "pk": private.PublicKey().Bytes(), "msg": message,
			"sig": must(private.SignDeterministic(message, nil)),
		}))
		lines = append(append(lines, line...), '\n')
	}
	check(os.WriteFile("../../ml-dsa/go-sign.jsonl", lines, 0o644))
}
