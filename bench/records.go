package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	recordCount = 100_000
	recordsEach = 50 // per object
	// needle is in the prompt of one record in a thousand. needleCaller is the caller of one in twenty.
	needle       = "kestrel"
	needleCaller = "Clerk/auditee-07"
	// functionRole is the role of the samples' calls.
	functionRole = "arn:aws:iam::123456789012:role/bedrock-app-dev-function-role"
)

// firstRecord is the time of the first record. The log has one record per second.
var firstRecord = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// kinds are the samples that records are made of, and their percentages.
var kinds = []struct {
	sample string
	share  int
}{
	{"converse", 35}, {"converse-stream", 10}, {"messages", 15}, {"messages-stream", 12}, {"nova", 5}, {"nova-stream", 4}, {"llama", 3},
	{"text-completion-stream", 3}, {"titan-text-stream", 2}, {"embedding", 5}, {"embedding-batch", 2}, {"error", 4},
}

// writeRecords generates the same invocation log each time, half a gigabyte in Bedrock's layout of keys. The records
// are made of audit's samples, in order of time. Prompts have up to 800 words, most of them few, and answers up to 400.
func writeRecords(folder string) error {
	r := rand.New(rand.NewPCG(1, 2))
	var templates []string
	for _, k := range kinds {
		content, err := os.ReadFile("audit/testdata/" + k.sample + ".json")
		if err != nil {
			return err
		}
		var line bytes.Buffer
		if err := json.Compact(&line, content); err != nil {
			return err
		}
		for range k.share {
			templates = append(templates, line.String())
		}
	}
	var lines bytes.Buffer
	zipped := gzip.NewWriter(nil)
	for i := range recordCount {
		at := firstRecord.Add(time.Duration(i) * time.Second)
		line, err := grow(r, templates[r.IntN(len(templates))], i%1000 == 500)
		if err != nil {
			return err
		}
		strings.NewReplacer(
			"2026-11-23T10:15:30Z", at.Format(time.RFC3339), "6f1e0a52-1111-4c60-9d3b-0f4f2f5d0001", fmt.Sprintf("6f1e0a52-1111-4c60-9d3b-%012d", i),
			"QmOw7G1BIAMFYJQ=", fmt.Sprintf("QmOw%010dQ=", i), "Clerk/jane", fmt.Sprintf("Clerk/auditee-%02d", r.IntN(20)),
		).WriteString(&lines, line+"\n")
		if (i+1)%recordsEach > 0 && i+1 < recordCount {
			continue
		}
		key := "AWSLogs/" + account + "/BedrockModelInvocationLogs/" + region + "/" + at.Format("2006/01/02/15/20060102T150405") + fmt.Sprintf("000Z_%016x.json.gz", i)
		name := filepath.Join(folder, filepath.FromSlash(key))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		var object bytes.Buffer
		zipped.Reset(&object)
		if _, err := lines.WriteTo(zipped); err != nil {
			return err
		}
		if err := zipped.Close(); err != nil {
			return err
		}
		if err := os.WriteFile(name, object.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}

var (
	said      = regexp.MustCompile(`"(?:text|prompt|inputText|outputText|completion|generation)":"[^"\\]+`)
	embedded  = regexp.MustCompile(`"embeddings?":(\[{1,2})[-\d.,]+\]`)
	bodyOfOut = regexp.MustCompile(`"outputBodyJson":(\[.*\]),"outputTokenCount"`)
)

// grow extends a sample's texts, chunks and numbers to realistic lengths.
func grow(r *rand.Rand, line string, withNeedle bool) (string, error) {
	input, output, _ := strings.Cut(line, `"output":{`)
	input = said.ReplaceAllStringFunc(input, func(text string) string {
		if withNeedle {
			withNeedle = false
			text += " " + needle
		}
		return text + words(r, 800)
	})
	if m := bodyOfOut.FindStringSubmatch(output); m != nil {
		var chunks []json.RawMessage
		if err := json.Unmarshal([]byte(m[1]), &chunks); err != nil {
			return "", err
		}
		var grown []string
		for _, chunk := range chunks {
			n := 1
			if said.Match(chunk) {
				n = length(r, 200)
			}
			for range n {
				grown = append(grown, said.ReplaceAllStringFunc(string(chunk), func(text string) string { return text[:strings.Index(text, `:"`)+2] + words(r, 3) }))
			}
		}
		output = strings.Replace(output, m[1], "["+strings.Join(grown, ",")+"]", 1)
	} else {
		output = said.ReplaceAllStringFunc(output, func(text string) string { return text + words(r, 400) })
	}
	output = embedded.ReplaceAllStringFunc(output, func(numbers string) string {
		b := []byte(numbers[:strings.LastIndex(numbers, "[")+1])
		for range 1024 {
			b = append(strconv.AppendFloat(b, r.NormFloat64(), 'g', 8, 64), ',')
		}
		return string(b[:len(b)-1]) + "]"
	})
	return input + `"output":{` + output, nil
}

// length returns a length from 1 to most. Half of the lengths are below the square root of most.
func length(r *rand.Rand, most int) int {
	return int(math.Pow(float64(most), r.Float64()))
}

func words(r *rand.Rand, most int) string {
	var b strings.Builder
	for range length(r, most) {
		b.WriteByte(' ')
		for range 1 + r.IntN(4) {
			b.WriteString(syllables[r.IntN(len(syllables))])
		}
		switch r.IntN(60) { // escaped as in JSON
		case 0, 1, 2:
			b.WriteString(`.\n`)
		case 3:
			b.WriteString(" \u2014")
		case 4:
			b.WriteString(` \"`)
		}
	}
	return b.String()
}

var syllables = strings.Fields("ba ce di fo gu han jer kil lom mun pa que ri so tu ver wan xi yo zen ing er the an re on at en nd or st ion")
