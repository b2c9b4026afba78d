// Package e2e deploys, calls, changes and destroys the whole system in the sandbox, as its users do: each file is one of their
// stories. The tests need the build tag e2e; make e2e runs them.
package e2e

import (
	"os"
	"testing"
)

// account is the one that the sandbox plays.
const account = "123456789012"

// TestMain runs the tests in the project's folder, where their paths begin.
func TestMain(m *testing.M) {
	if err := os.Chdir(".."); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
