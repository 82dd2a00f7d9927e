// Writes the vectors of tests/vectors/proof with Go's transparency-log packages, which share no code with Cairn.
// Run it in this folder: go run . (cosignatures carry the time of the run; everything else comes out the same).
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const origin = "log.example/vectors"

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// The skey and the vkey of a name and a type; the seed is the hash of both.
func key(name string, kind byte) (string, string) {
	seed := sha256.Sum256(append([]byte(name), kind))
	public := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
	typed := append([]byte{kind}, public...)
	hash := sha256.Sum256(append([]byte(name+"\n"), typed...))
	id := binary.BigEndian.Uint32(hash[:])
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", name, id, encode(append([]byte{kind}, seed[:]...))),
		fmt.Sprintf("%s+%08x+%s", name, id, encode(typed))
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
	for n := int64(0); n < 300; n++ {
		added, err := tlog.StoredHashes(n, entry(n), stored)
		check(err)
		stored = append(stored, added...)
	}
	logSkey, logVkey := key(origin, 1)
	logSigner, err := note.NewSigner(logSkey)
	check(err)
	write("log.skey", []byte(logSkey+"\n"))
	write("log.vkey", []byte(logVkey+"\n"))
	policy := fmt.Sprintf("log %s\n", logVkey)
	var cosigners []note.Signer
	for i := 1; i <= 3; i++ {
		skey, vkey := key(fmt.Sprintf("w%d.example", i), 4)
		cosigner, err := fnote.NewSignerForCosignatureV1(skey)
		check(err)
		cosigners = append(cosigners, cosigner)
		policy += fmt.Sprintf("witness w%d %s https://w%d.example/\n", i, vkey, i)
	}
	mSkey, mVkey, err := fnote.GenerateMLDSAKey("m.example")
	check(err)
	mCosigner, err := fnote.NewSignerForCosignatureV1(mSkey)
	check(err)
	policy += fmt.Sprintf("witness m %s\ngroup two 2 w1 w2 w3\nquorum two\n", mVkey)
	check(os.WriteFile("../../policy/two-of-three.policy", []byte(policy), 0o644))

	head := func(size int64, signers ...note.Signer) []byte {
		root, err := tlog.TreeHash(size, stored)
		check(err)
		text := log.Checkpoint{Origin: origin, Size: uint64(size), Hash: root[:]}.Marshal()
		signed, err := note.Sign(&note.Note{Text: string(text)}, append([]note.Signer{logSigner}, signers...)...)
		check(err)
		return signed
	}
	receipt := func(index, size int64, extra []byte, checkpoint []byte) []byte {
		record, err := tlog.ProveRecord(size, index, stored)
		check(err)
		p := proof.TLogProof{Index: uint64(index), Checkpoint: checkpoint, ExtraData: extra}
		for _, hash := range record {
			p.Hashes = append(p.Hashes, hash)
		}
		return p.Marshal()
	}
	cosigned := head(300, cosigners[0], cosigners[1], mCosigner)
	write("entry", entry(257))
	write("cosigned.checkpoint", cosigned)
	write("cosigned.tlog-proof", receipt(257, 300, nil, cosigned))
	write("extra.tlog-proof", receipt(257, 300, []byte("extra data"), cosigned))
	write("one-witness.tlog-proof", receipt(257, 300, nil, head(300, cosigners[0])))
	write("last.tlog-proof", receipt(257, 258, nil, head(258)))
	write("empty.checkpoint", head(0))
	write("single.checkpoint", head(1))

	old, newer := int64(258), int64(300)
	tree, err := tlog.ProveTree(newer, old, stored)
	check(err)
	var body bytes.Buffer
	fmt.Fprintf(&body, "old %d\n", old)
	for _, hash := range tree {
		fmt.Fprintf(&body, "%s\n", hash)
	}
	fmt.Fprintf(&body, "\n%s", head(newer))
	write("add-checkpoint.body", body.Bytes())
	write("old.checkpoint", head(old))
}
