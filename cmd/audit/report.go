package main

import (
	"cmp"
	"context"
	_ "embed"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/private-bedrock/private-bedrock/audit"
)

// use is what a day, a model or a caller had of Bedrock.
type use struct {
	Name                                       string
	Calls, Failed                              int
	Input, Output, CacheRead, CacheWrite, Most int64
}

func (u *use) add(e audit.Entry) {
	u.Calls++
	if e.ErrorCode != "" {
		u.Failed++
	}
	u.Input += e.InputTokenCount
	u.Output += e.OutputTokenCount
	u.CacheRead += e.CacheReadInputTokenCount
	u.CacheWrite += e.CacheWriteInputTokenCount
}

// Tokens are of all kinds; their prices differ.
func (u *use) Tokens() int64 { return u.Input + u.Output + u.CacheRead + u.CacheWrite }

// Share is in hundredths of the one that has most.
func (u *use) Share() float64 { return float64(u.Tokens()) / float64(max(u.Most, 1)) * 100 }

type uses map[string]*use

func (u uses) of(name string) *use {
	if u[name] == nil {
		u[name] = &use{Name: name}
	}
	return u[name]
}

// ranked has those with the most tokens first.
func (u uses) ranked() []*use {
	var all []*use
	for _, one := range u {
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b *use) int {
		return cmp.Or(cmp.Compare(b.Tokens(), a.Tokens()), cmp.Compare(b.Calls, a.Calls), strings.Compare(a.Name, b.Name))
	})
	for _, one := range all {
		one.Most = all[0].Tokens()
	}
	return all
}

// bar of a chart: its heights count up from 0 to 100.
type bar struct {
	*use
	X, Width, Calls100, Input100, Output100, Cache100 float64
}

func (b bar) InputTop() float64  { return 100 - b.Input100 }
func (b bar) CacheTop() float64  { return b.InputTop() - b.Cache100 }
func (b bar) OutputTop() float64 { return b.CacheTop() - b.Output100 }
func (b bar) CallsTop() float64  { return 100 - b.Calls100 }

const chartWidth = 800

// chart has a bar for every day from the first to the last; of more than a year's, for the days that have calls.
func chart(days uses) []bar {
	var all []*use
	for _, one := range days {
		all = append(all, one)
	}
	byName := func(a, b *use) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(all, byName)
	if len(all) == 0 {
		return nil
	}
	first, _ := time.Parse(time.DateOnly, all[0].Name)
	last, _ := time.Parse(time.DateOnly, all[len(all)-1].Name)
	if last.Sub(first) < 366*24*time.Hour {
		for day := first; day.Before(last); day = day.AddDate(0, 0, 1) {
			if name := day.Format(time.DateOnly); days[name] == nil {
				all = append(all, &use{Name: name})
			}
		}
		slices.SortFunc(all, byName)
	}
	var calls, tokens float64 = 1, 1
	for _, one := range all {
		calls, tokens = max(calls, float64(one.Calls)), max(tokens, float64(one.Tokens()))
	}
	var bars []bar
	width := chartWidth / float64(len(all))
	for i, one := range all {
		bars = append(bars, bar{
			one, float64(i) * width, max(width*0.85, 0.5), float64(one.Calls) / calls * 100, float64(one.Input) / tokens * 100,
			float64(one.Output) / tokens * 100, float64(one.CacheRead+one.CacheWrite) / tokens * 100,
		})
	}
	return bars
}

//go:embed report.html
var page string

var reportPage = template.Must(template.New("report").Funcs(template.FuncMap{
	"count": func(n any) string { // 1,234,567
		text := ""
		switch n := n.(type) {
		case int:
			text = strconv.Itoa(n)
		case int64:
			text = strconv.FormatInt(n, 10)
		}
		for i := len(text) - 3; i > 0; i -= 3 {
			text = text[:i] + "," + text[i:]
		}
		return text
	},
}).Parse(page))

// report holds no prompt and no answer: who may see what was spent need not see what was said.
func report(ctx context.Context, reader audit.Reader, q audit.Query, out io.Writer) error {
	total, days, models, callers := &use{}, uses{}, uses{}, uses{}
	var first, last time.Time
	for e, err := range reader.Entries(ctx, q) {
		if err != nil {
			return err
		}
		if first.IsZero() {
			first = e.Timestamp
		}
		last = e.Timestamp
		for _, u := range []*use{total, days.of(e.Timestamp.Format(time.DateOnly)), models.of(e.ModelID), callers.of(e.Caller)} {
			u.add(e)
		}
	}
	return reportPage.Execute(out, map[string]any{
		"Total": total, "Width": chartWidth, "First": first, "Last": last, "Caller": q.Caller, "Model": q.Model, "Days": chart(days),
		"Tables": []struct {
			Title string
			Rows  []*use
		}{{"Models", models.ranked()}, {"Callers", callers.ranked()}},
	})
}
