// Tells a litewitness about a log: a row in each of two tables of its database, as its own witnessctl would write them.
// witnessctl itself is of no use here, because a module that only it needs is not to be had everywhere.
//
//	addlog DATABASE ORIGIN VKEY
package main

import (
	"log"
	"os"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// The root of the empty tree (RFC 6962, section 2.1).
const emptyRoot = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: addlog DATABASE ORIGIN VKEY")
	}
	database, origin, vkey := os.Args[1], os.Args[2], os.Args[3]
	// The witness made the database and has it open.
	connection, err := sqlite.OpenConn(database, sqlite.OpenReadWrite)
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	insert := func(statement string, values ...any) {
		if err := sqlitex.Execute(connection, statement, &sqlitex.ExecOptions{Args: values}); err != nil {
			log.Fatal(err)
		}
	}
	insert("INSERT INTO log (origin, tree_size, tree_hash) VALUES (?, 0, ?)", origin, emptyRoot)
	insert("INSERT INTO key (origin, key) VALUES (?, ?)", origin, vkey)
}
