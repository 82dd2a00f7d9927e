// Package mldsa verifies the ML-DSA-44 signatures of a served log and of a witness with filippo.io/mldsa, through
// github.com/transparency-dev/formats and golang.org/x/mod/sumdb/note, which share no code with Cairn. run.sh starts
// both and sets the environment; without it there is nothing to test.
package mldsa

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

func setting(t *testing.T, name string) string {
	t.Helper()
	value := strings.TrimSpace(os.Getenv(name))
	if value == "" {
		t.Skipf("%s is not set; run.sh sets it", name)
	}
	return value
}

// A verifier for a vkey of any of the types that Cairn signs with.
func verifier(t *testing.T, vkey string) note.Verifier {
	t.Helper()
	if plain, err := note.NewVerifier(vkey); err == nil {
		return plain
	}
	timed, err := fnote.NewVerifierForCosignatureV1(vkey)
	if err != nil {
		t.Fatalf("the key %.60s: %v", vkey, err)
	}
	return timed
}

func verifiers(t *testing.T, vkeys string) []note.Verifier {
	var all []note.Verifier
	for _, vkey := range strings.Fields(vkeys) {
		all = append(all, verifier(t, vkey))
	}
	return all
}

func answer(t *testing.T, response *http.Response, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", response.Status, body, err)
	}
	return body
}

// Each of the keys must have signed, and each change of what is signed must be noticed.
func open(t *testing.T, checkpoint []byte, keys []note.Verifier) *note.Note {
	t.Helper()
	for _, key := range keys {
		opened, err := note.Open(checkpoint, note.VerifierList(key))
		if err != nil || len(opened.Sigs) != 1 {
			t.Fatalf("%s+%08x: %v", key.Name(), key.KeyHash(), err)
		}
		text, rest, _ := bytes.Cut(checkpoint, []byte("\n\n"))
		lines := bytes.SplitN(text, []byte("\n"), 3)
		lines[1] = append([]byte("1"), lines[1]...)
		changed := append(append(bytes.Join(lines, []byte("\n")), "\n\n"...), rest...)
		if _, err := note.Open(changed, note.VerifierList(key)); err == nil {
			t.Fatalf("%s+%08x also signs another size", key.Name(), key.KeyHash())
		}
	}
	opened, err := note.Open(checkpoint, note.VerifierList(keys...))
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func TestHeadsAreSignedWithBothKeysAndCosignedByTheWitness(t *testing.T) {
	url := setting(t, "INTEROP_BOTH_URL")
	logKeys := verifiers(t, setting(t, "INTEROP_BOTH_KEYS"))
	witness := setting(t, "INTEROP_WITNESS_URL")
	witnessKeys := verifiers(t, setting(t, "INTEROP_WITNESS_KEYS"))
	if len(logKeys) != 2 || len(witnessKeys) < 1 {
		t.Fatalf("%d keys of the log, %d of the witness", len(logKeys), len(witnessKeys))
	}
	added, err := http.Post(url+"/add", "application/octet-stream", strings.NewReader("an entry"))
	answer(t, added, err)
	served, err := http.Get(url + "/checkpoint")
	checkpoint := answer(t, served, err)
	if opened := open(t, checkpoint, logKeys); len(opened.Sigs) != 2 {
		t.Fatalf("%d of the log's two keys signed", len(opened.Sigs))
	}

	request := append([]byte("old 0\n\n"), checkpoint...)
	cosigned, err := http.Post(witness+"/add-checkpoint", "application/octet-stream", bytes.NewReader(request))
	lines := answer(t, cosigned, err)
	whole := append(append([]byte{}, checkpoint...), lines...)
	opened := open(t, whole, append(logKeys, witnessKeys...))
	if len(opened.Sigs) != len(logKeys)+len(witnessKeys) {
		t.Fatalf("only %d signatures:\n%s", len(opened.Sigs), whole)
	}
	for _, signature := range opened.Sigs[len(logKeys):] {
		made, err := fnote.CoSigV1Timestamp(signature)
		if err != nil || time.Since(made).Abs() > time.Hour {
			t.Fatalf("%s cosigned at %v: %v", signature.Name, made, err)
		}
	}
}
