package components

import (
	"embed"
	"fmt"
	"path"
	"strings"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
)

// Each file in queries/ is a saved query: its first line is its description, and the rest follows calls.sql.
var (
	//go:embed queries/*.sql
	queryFiles embed.FS
	//go:embed calls.sql
	callsSQL string
)

// savedQuery is Athena's NamedQuery.
type savedQuery struct{ name, description, sql string }

// savedQueries are the queries in queries/, by name. Their text is complete: you can copy, change and run it.
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
		q := savedQuery{strings.TrimSuffix(file.Name(), ".sql"), strings.TrimPrefix(description, "-- "),
			description + "\n" + callsSQL + query}
		if q.description == description || len(q.description) > 1024 { // Athena API Reference, "CreateNamedQuery"
			return nil, fmt.Errorf("queries/%s: got the first line %q, want a comment of at most 1024 characters that "+
				"says what the query shows", file.Name(), description)
		}
		all = append(all, q)
	}
	return all, nil
}

// sessionsOfFunction stands in calls.sql for the ARN prefix of the sessions of the function's role. No ARN begins with
// it: until callersOf replaces it, every caller is the identity that called Bedrock.
const sessionsOfFunction = "<sessions of the function''s role>"

// callersOf makes a query take the caller from the metadata of records that the function's role made.
func callersOf(functionRoleArn, query string) string {
	sessions, ok := iampolicy.SessionsOf(functionRoleArn) // sessions has no quotes
	if !ok {
		return query
	}
	return strings.ReplaceAll(query, sessionsOfFunction, sessions)
}
