// Package interop reads a served log with golang.org/x/mod/sumdb: package note for the checkpoint's signature, package
// tlog for tiles, entries and proofs. Nothing here shares code with the server, so a mistake of ours in both the server
// and the client would show. run.sh starts the server and sets the environment; without it there is nothing to test.
package interop

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The log under test.
type servedLog struct {
	url      string
	verifier note.Verifier
	// Changes what was read, to show that the reader notices.
	tamper func(path string, body []byte)
}

func openLog(t *testing.T) *servedLog {
	t.Helper()
	url, key := os.Getenv("INTEROP_URL"), os.Getenv("INTEROP_KEY")
	if url == "" || key == "" {
		t.Skip("INTEROP_URL and INTEROP_KEY are not set; run.sh sets them")
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		t.Fatalf("the log's key: %v", err)
	}
	return &servedLog{url: strings.TrimSuffix(url, "/"), verifier: verifier}
}

func (l *servedLog) get(path string) ([]byte, error) {
	response, err := http.Get(l.url + "/" + path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s: %s", path, response.Status, body)
	}
	if l.tamper != nil {
		l.tamper(path, body)
	}
	return body, nil
}

func (l *servedLog) add(entry []byte) (int64, error) {
	response, err := http.Post(l.url+"/add", "application/octet-stream", bytes.NewReader(entry))
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("POST add: %s: %s", response.Status, body)
	}
	return strconv.ParseInt(string(body), 10, 64)
}

// C2SP tlog-checkpoint: origin, size, root, each in a line; then the signatures.
func (l *servedLog) checkpoint() (tlog.Tree, error) {
	text, err := l.get("checkpoint")
	if err != nil {
		return tlog.Tree{}, err
	}
	opened, err := note.Open(text, note.VerifierList(l.verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != l.verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("not a checkpoint of %s: %q", l.verifier.Name(), opened.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

// The checkpoint, which must have every one of these entries: `add` answers only when its entry is in a signed head.
func (l *servedLog) checkpointWith(placed map[int64][]byte) (tlog.Tree, error) {
	var last int64 = -1
	for index := range placed {
		last = max(last, index)
	}
	tree, err := l.checkpoint()
	if err == nil && tree.N <= last {
		err = fmt.Errorf("entry %d was acknowledged, and the checkpoint has size %d", last, tree.N)
	}
	return tree, err
}

// Height, ReadTiles and SaveTiles make the log a tlog.TileReader. C2SP tlog-tiles has one height, 8, and leaves it out
// of the path.
func (l *servedLog) Height() int { return 8 }

func (l *servedLog) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		body, err := l.get("tile/" + strings.TrimPrefix(tile.Path(), "tile/8/"))
		if err != nil {
			return nil, err
		}
		data[i] = body
	}
	return data, nil
}

func (l *servedLog) SaveTiles([]tlog.Tile, [][]byte) {}

// The entries of one bundle, of which the tree has `width`: each is its length in two bytes, then its bytes.
func (l *servedLog) bundle(number int64, width int) ([][]byte, error) {
	path := tlog.Tile{H: 8, L: -1, N: number, W: width}.Path()
	body, err := l.get("tile/entries/" + strings.TrimPrefix(path, "tile/8/data/"))
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for len(body) > 0 {
		if len(body) < 2 || len(body)-2 < int(binary.BigEndian.Uint16(body)) {
			return nil, fmt.Errorf("bundle %d ends inside an entry", number)
		}
		length := 2 + int(binary.BigEndian.Uint16(body))
		entries, body = append(entries, body[2:length]), body[length:]
	}
	if len(entries) != width {
		return nil, fmt.Errorf("bundle %d has %d entries instead of %d", number, len(entries), width)
	}
	return entries, nil
}

// Appends `count` entries, 32 at a time, and returns which one stands where.
func (l *servedLog) fill(t *testing.T, label string, count int) map[int64][]byte {
	t.Helper()
	var mutex sync.Mutex
	var group sync.WaitGroup
	placed := make(map[int64][]byte)
	turns := make(chan struct{}, 32)
	for i := range count {
		group.Add(1)
		turns <- struct{}{}
		go func() {
			defer func() { <-turns; group.Done() }()
			entry := fmt.Appendf(nil, "%s %d %d", label, time.Now().UnixNano(), i)
			index, err := l.add(entry)
			mutex.Lock()
			defer mutex.Unlock()
			if err != nil {
				t.Errorf("add: %v", err)
			} else if other, taken := placed[index]; taken {
				t.Errorf("index %d was given to %q and %q", index, other, entry)
			} else {
				placed[index] = entry
			}
		}()
	}
	group.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return placed
}

func TestAppendedEntriesAreProvenByTiles(t *testing.T) {
	log := openLog(t)
	placed := log.fill(t, "proven", 700)
	tree, err := log.checkpointWith(placed)
	if err != nil {
		t.Fatal(err)
	}
	hashes := tlog.TileHashReader(tree, log)
	bundles := make(map[int64][][]byte)
	for index, entry := range placed {
		number := index / 256
		if bundles[number] == nil {
			width := int(min(256, tree.N-number*256))
			if bundles[number], err = log.bundle(number, width); err != nil {
				t.Fatal(err)
			}
		}
		if read := bundles[number][index%256]; !bytes.Equal(read, entry) {
			t.Fatalf("entry %d reads %q instead of %q", index, read, entry)
		}
		proof, err := tlog.ProveRecord(tree.N, index, hashes)
		if err != nil {
			t.Fatalf("entry %d: %v", index, err)
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
			t.Fatalf("entry %d: %v", index, err)
		}
	}
}

func TestLaterCheckpointsExtendEarlierOnes(t *testing.T) {
	log := openLog(t)
	older, err := log.checkpointWith(log.fill(t, "older", 3))
	if err != nil {
		t.Fatal(err)
	}
	for _, count := range []int{1, 2, 254, 300} {
		newer, err := log.checkpointWith(log.fill(t, "newer", count))
		if err != nil {
			t.Fatal(err)
		}
		proof, err := tlog.ProveTree(newer.N, older.N, tlog.TileHashReader(newer, log))
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckTree(proof, newer.N, newer.Hash, older.N, older.Hash); err != nil {
			t.Fatalf("from %d to %d: %v", older.N, newer.N, err)
		}
		older = newer
	}
}

// The proofs that the server makes are the ones that package tlog makes from the tiles.
func TestServedProofsAreTlogs(t *testing.T) {
	log := openLog(t)
	if os.Getenv("INTEROP_PROOFS") == "" {
		t.Skip("this server has no proof routes")
	}
	placed := log.fill(t, "served", 300)
	tree, err := log.checkpointWith(placed)
	if err != nil {
		t.Fatal(err)
	}
	hashes := tlog.TileHashReader(tree, log)
	for index, entry := range placed {
		wanted, err := tlog.ProveRecord(tree.N, index, hashes)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct {
			Leaf  tlog.Hash        `json:"leaf_hash"`
			Proof tlog.RecordProof `json:"proof"`
		}
		log.decode(t, fmt.Sprintf("proof/inclusion?index=%d&size=%d", index, tree.N), &answer)
		if answer.Leaf != tlog.RecordHash(entry) || fmt.Sprint(answer.Proof) != fmt.Sprint(wanted) {
			t.Fatalf("inclusion of %d in %d: %v instead of %v", index, tree.N, answer, wanted)
		}
	}
	for size := max(1, tree.N-300); size <= tree.N; size += 7 {
		wanted, err := tlog.ProveTree(tree.N, size, hashes)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct {
			Proof tlog.TreeProof `json:"proof"`
		}
		log.decode(t, fmt.Sprintf("proof/consistency?from=%d&to=%d", size, tree.N), &answer)
		if fmt.Sprint(answer.Proof) != fmt.Sprint(wanted) {
			t.Fatalf("consistency of %d with %d: %v instead of %v", size, tree.N, answer.Proof, wanted)
		}
	}
}

func (l *servedLog) decode(t *testing.T, path string, into any) {
	t.Helper()
	body, err := l.get(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// The other tests would mean nothing if this reader took anything.
func TestTheReaderNoticesChanges(t *testing.T) {
	log := openLog(t)
	placed := log.fill(t, "changed", 2)
	tree, err := log.checkpointWith(placed)
	if err != nil {
		t.Fatal(err)
	}
	log.tamper = func(path string, body []byte) {
		if strings.HasPrefix(path, "tile/0/") {
			body[len(body)-1] ^= 1
		}
	}
	if _, err := tlog.ProveRecord(tree.N, tree.N-1, tlog.TileHashReader(tree, log)); err == nil {
		t.Fatal("a changed tile was taken")
	}
	log.tamper = func(_ string, body []byte) { body[0] ^= 1 }
	var invalid *note.InvalidSignatureError
	if _, err := log.checkpoint(); !errors.As(err, &invalid) {
		t.Fatalf("a changed checkpoint was taken: %v", err)
	}
}
