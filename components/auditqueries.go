package components

import (
	"embed"
	"fmt"
	"path"
	"strings"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
)

// Each file of queries/ is a saved query: its first line is its description, the rest goes behind calls.sql.
var (
	//go:embed queries/*.sql
	queryFiles embed.FS
	//go:embed calls.sql
	callsSQL string
)

// savedQuery is Athena's NamedQuery.
type savedQuery struct{ name, description, sql string }

// savedQueries are those of queries/, by name. Their text is whole: it can be copied, changed and run as it is.
func savedQueries() ([]savedQuery, error) {
	files, err := queryFiles.ReadDir("queries")
	if err != nil {
		return nil, err
	}
	var all []savedQuery
	for _, file := range files {
		content, err := queryFiles.ReadFile(path.Join("queries", file.Name()))
		if err != nil {
			return nil, err
		}
		description, query, _ := strings.Cut(string(content), "\n")
		q := savedQuery{strings.TrimSuffix(file.Name(), ".sql"), strings.TrimPrefix(description, "-- "), description + "\n" + callsSQL + query}
		if q.description == description || len(q.description) > 1024 { // Athena API Reference, "CreateNamedQuery"
			return nil, fmt.Errorf("queries/%s: got the first line %q, want a comment of at most 1024 characters that says what the query shows", file.Name(), description)
		}
		all = append(all, q)
	}
	return all, nil
}

// sessionsOfFunction is what calls.sql has in place of the ARN that the sessions of the function's role begin with. No ARN begins
// with it: until it is replaced, every caller is the identity that called Bedrock.
const sessionsOfFunction = "<sessions of the function''s role>"

// callersOf has a query take the caller from the metadata of records that the function's role made.
func callersOf(functionRoleArn, query string) string {
	sessions, ok := iampolicy.SessionsOf(functionRoleArn) // in which there is no quote
	if !ok {
		return query
	}
	return strings.ReplaceAll(query, sessionsOfFunction, sessions)
}
