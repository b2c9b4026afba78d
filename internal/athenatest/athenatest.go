// Package athenatest runs Athena's queries without Athena, in SQLite, with the functions of Athena's engine that SQLite
// lacks or implements differently. A query runs unchanged. The package doesn't check other differences between SQLite
// and Athena, such as types.
package athenatest

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mattn/go-sqlite3"
)

// Line is a row of the table records.
type Line struct {
	Line string
	Day  string // the partition, such as 2026/11/23
	Path string // the path of the line's object, s3://…
}

// Run returns a query's rows by the columns' names, in lower case as in Athena. Parameters replace the query's question
// marks.
func Run(t testing.TB, query string, lines []Line, parameters ...any) (rows []map[string]any) {
	t.Helper()
	db, err := sql.Open(driver(), ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection has a separate database in memory
	if _, err := db.Exec(`CREATE TABLE records (line text, day text, "$path" text)`); err != nil {
		if strings.Contains(err.Error(), "requires cgo") && os.Getenv("CI") == "" { // CI must not skip this
			t.Skip("SQLite, which replaces Athena in this test, needs a C compiler")
		}
		t.Fatal(err)
	}
	for _, l := range lines {
		if _, err := db.Exec("INSERT INTO records VALUES (?, ?, ?)", l.Line, l.Day, l.Path); err != nil {
			t.Fatal(err)
		}
	}
	// CAST isn't replaced, because it fails the whole query in Athena if a value has another type. SQLite doesn't know
	// the type of TRY_CAST.
	query = strings.NewReplacer("TRY_CAST(", "try_cast(", " AS bigint)", ", 'bigint')").Replace(query)
	answer, err := db.Query(query, parameters...)
	if err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	defer answer.Close()
	columns, err := answer.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for answer.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		if err := answer.Scan(values...); err != nil {
			t.Fatal(err)
		}
		row := map[string]any{}
		for i, column := range columns {
			row[strings.ToLower(column)] = *values[i].(*any)
		}
		rows = append(rows, row)
	}
	if err := answer.Err(); err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	return rows
}

var driver = sync.OnceValue(func() string {
	sql.Register("athenatest", &sqlite3.SQLiteDriver{ConnectHook: func(c *sqlite3.SQLiteConn) error {
		for name, function := range functions {
			if err := c.RegisterFunc(name, function, true); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	}})
	return "athenatest"
})

// functions are functions of Trino (Trino documentation, "Functions and operators"). All except coalesce return NULL
// for NULL.
var functions = map[string]any{
	"json_extract": func(document, path any) (any, error) {
		value, found, err := extract(document, path)
		if !found || err != nil {
			return nil, err
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		err = e.Encode(value)
		return strings.TrimSpace(b.String()), err
	},
	"json_extract_scalar": func(document, path any) (any, error) {
		value, _, err := extract(document, path)
		switch value := value.(type) {
		case string:
			return value, err
		case json.Number:
			return value.String(), err
		case bool:
			return fmt.Sprint(value), err
		}
		return nil, err // objects, arrays and null have no scalar
	},
	"json_format": func(document any) any { return document },
	"lower": func(text any) any { // SQLite's function converts ASCII only
		if text, ok := text.(string); ok {
			return strings.ToLower(text)
		}
		return nil
	},
	"strpos": func(text, part any) any {
		t, ok := text.(string)
		p, also := part.(string)
		if !ok || !also {
			return nil
		}
		return int64(strings.Index(t, p) + 1)
	},
	"try_cast": func(text any, _ string) any {
		if n, err := strconv.ParseInt(fmt.Sprint(text), 10, 64); err == nil {
			return n
		}
		return nil
	},
	"try": func(value any) any { return value },
	"regexp_replace": func(text any, pattern, replacement string) (any, error) {
		r, err := regexp.Compile(pattern)
		if text, ok := text.(string); ok && err == nil {
			return r.ReplaceAllString(text, replacement), nil
		}
		return nil, err
	},
	// The following functions represent arrays as JSON.
	"regexp_extract_all": func(text, pattern string, group int) (string, error) {
		r, err := regexp.Compile(pattern)
		if err != nil {
			return "", err
		}
		all := []string{}
		for _, match := range r.FindAllStringSubmatch(text, -1) {
			all = append(all, match[group])
		}
		b, err := json.Marshal(all)
		return string(b), err
	},
	"array_join": func(array, between string) (string, error) {
		var all []string
		err := json.Unmarshal([]byte(array), &all)
		return strings.Join(all, between), err
	},
	"date_add": func(unit string, n int, date string) (string, error) {
		day, err := time.Parse(time.DateOnly, date)
		if unit != "day" {
			err = fmt.Errorf("date_add: got unit %q, must be day", unit)
		}
		return day.AddDate(0, 0, n).Format(time.DateOnly), err
	},
	"date_format": func(date, format string) (string, error) {
		day, err := time.Parse(time.DateOnly, date)
		return strings.NewReplacer("%Y", day.Format("2006"), "%m", day.Format("01"), "%d", day.Format("02")).Replace(format), err
	},
}

// extract follows a path of names, such as $.input.inputTokenCount. It finds nothing in a document that isn't JSON.
func extract(document, path any) (value any, found bool, err error) {
	text, ok := document.(string)
	names, rooted := strings.CutPrefix(fmt.Sprint(path), "$")
	if names != "" {
		names, rooted = strings.CutPrefix(names, ".")
	}
	if !rooted || strings.ContainsAny(names, `[]"* `) {
		return nil, false, fmt.Errorf("json_extract: got path %v, must contain names only, such as $.input.inputTokenCount", path)
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if !ok || d.Decode(&value) != nil {
		return nil, false, nil
	}
	if names == "" {
		return value, true, nil
	}
	for name := range strings.SplitSeq(names, ".") {
		object, _ := value.(map[string]any)
		if value, found = object[name]; !found {
			return nil, false, nil
		}
	}
	return value, true, nil
}
