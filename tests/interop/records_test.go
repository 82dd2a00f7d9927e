package interop

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Audit records of a log, found by their tenant, each with its proof. records.py has brought them.
type foundRecords struct {
	Checkpoint string
	Records    []struct {
		Leaf      string
		Integrity struct {
			Index int64
			Leaf  tlog.Hash `json:"leaf_hash"`
			Proof tlog.RecordProof
		}
	}
}

func findRecords(t *testing.T, url, token string) foundRecords {
	t.Helper()
	server, _, _ := strings.Cut(url, "/logs/")
	request, err := http.NewRequest(http.MethodGet, server+"/v1/records?tenant=interop&limit=500&proof=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v: %s", response.Status, err, body)
	}
	var found foundRecords
	if err := json.Unmarshal(body, &found); err != nil {
		t.Fatal(err)
	}
	return found
}

// The head of a checkpoint that the log has signed.
func (l *servedLog) headOf(checkpoint string) (tlog.Tree, error) {
	opened, err := note.Open([]byte(checkpoint), note.VerifierList(l.verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	var origin, root string
	var tree tlog.Tree
	if _, err := fmt.Sscanf(opened.Text, "%s\n%d\n%s\n", &origin, &tree.N, &root); err != nil {
		return tlog.Tree{}, err
	}
	if origin != l.verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("a checkpoint of %s", origin)
	}
	tree.Hash, err = tlog.ParseHash(root)
	return tree, err
}

func TestRecordsAreProvenToBeInTheLog(t *testing.T) {
	url, key, token := os.Getenv("INTEROP_RECORDS_URL"), os.Getenv("INTEROP_RECORDS_KEY"), os.Getenv("INTEROP_RECORDS_TOKEN")
	if url == "" {
		t.Skip("INTEROP_RECORDS_URL is not set; run.sh sets it")
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	found := findRecords(t, url, token)
	tree, err := (&servedLog{verifier: verifier}).headOf(found.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Records) == 0 {
		t.Fatal("there are no records")
	}
	for _, record := range found.Records {
		says, leaf := record.Integrity, tlog.RecordHash([]byte(record.Leaf))
		if leaf != says.Leaf {
			t.Fatalf("entry %d: the leaf's hash is %v, not %v", says.Index, leaf, says.Leaf)
		}
		if err := tlog.CheckRecord(says.Proof, tree.N, tree.Hash, says.Index, leaf); err != nil {
			t.Fatalf("entry %d: %v", says.Index, err)
		}
		changed := tlog.RecordHash([]byte(record.Leaf + " "))
		if tlog.CheckRecord(says.Proof, tree.N, tree.Hash, says.Index, changed) == nil {
			t.Fatalf("entry %d: a changed leaf was taken", says.Index)
		}
	}
}
