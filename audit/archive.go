package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/klauspost/compress/gzip" // takes two thirds of the time of compress/gzip

	"github.com/private-bedrock/private-bedrock/internal/contract"
)

// Log is a place that contains records, or lines of an access log.
type Log interface {
	fmt.Stringer
	// pieces returns the pieces that can contain lines from since until until, oldest first. A zero time means no
	// limit.
	pieces(ctx context.Context, since, until time.Time) iter.Seq2[piece, error]
}

// piece is an object that contains lines, or a page of events.
type piece struct {
	name      string
	delivered time.Time // according to its name or its first event
	open      func(ctx context.Context) (io.ReadCloser, error)
}

// lag is the assumed maximum between a call and the delivery of its record. A stream takes up to 15 minutes (API
// Gateway Developer Guide, "Stream the integration response for your proxy integrations"). How long Bedrock batches
// records isn't documented.
const lag = time.Hour

// store contains objects by key.
type store interface {
	// keys returns the keys with the prefix that sort after another key, in order.
	keys(ctx context.Context, prefix, after string) iter.Seq2[string, error]
	// folders returns the folders directly under a prefix, each with its slash.
	folders(ctx context.Context, prefix string) ([]string, error)
	open(ctx context.Context, key string) (io.ReadCloser, error)
	String() string
}

// Archive is the invocation log in S3, or a copy of it, in Bedrock's layout of keys:
// [prefix/]AWSLogs/ACCOUNT/BedrockModelInvocationLogs/REGION/YYYY/MM/DD/HH/….json.gz
type Archive struct {
	store  store
	bucket string // the only bucket that large bodies are read from; if "", any
	prefix string
}

// Bucket returns the Archive in an S3 bucket. In a bucket with much other data, a prefix saves the search for the log.
func Bucket(client *s3.Client, name, prefix string) Archive {
	return Archive{s3Store{client, name}, name, prefix}
}

// Dir returns the Archive in a folder whose files are a copy of a bucket's objects.
func Dir(name, prefix string) (Archive, error) {
	root, err := os.OpenRoot(name) // refuses links that lead out of the folder
	if err != nil {
		return Archive{}, err
	}
	return Archive{dirStore{root.FS(), name}, "", prefix}, nil
}

func (a Archive) String() string { return a.store.String() }

// layout matches the part of a key after its Region. Large bodies are in data/.
var layout = regexp.MustCompile(`^(\d{4}/\d\d/\d\d/\d\d)/(?:(\d{8}T\d{6})\d*Z_)?([^/]*)$`)

const (
	hourFolder      = "2006/01/02/15"
	permissionCheck = "amazon-bedrock-logs-permission-check"
)

func (a Archive) pieces(ctx context.Context, since, until time.Time) iter.Seq2[piece, error] {
	return func(yield func(piece, error) bool) {
		roots, err := a.roots(ctx)
		if err != nil {
			yield(piece{}, err)
			return
		}
		after, last := "", ""
		if !since.IsZero() {
			after = since.UTC().Format(hourFolder) + "/"
		}
		if !until.IsZero() {
			last = until.Add(lag).UTC().Format(hourFolder) + "0" // sorts after the folder's slash
		}
		for tail, err := range merge(roots, func(root string) iter.Seq2[string, error] { return a.store.keys(ctx, root, root+after) }, last) {
			if err != nil {
				yield(piece{}, fmt.Errorf("listing %v: %w", a.store, err))
				return
			}
			if p, ok := a.piece(tail.root+tail.key, tail.key); ok && !yield(p, nil) {
				return
			}
		}
	}
}

type tail struct{ root, key string }

// merge returns the keys of all roots, up to last, in the order of the part after the root.
func merge(roots []string, keys func(root string) iter.Seq2[string, error], last string) iter.Seq2[tail, error] {
	return func(yield func(tail, error) bool) {
		type head struct {
			tail
			next func() (string, error, bool)
		}
		var heads []head
		advance := func(h head) bool {
			key, err, ok := h.next()
			h.key = strings.TrimPrefix(key, h.root)
			switch {
			case err != nil:
				yield(tail{}, err)
				return false
			case ok && (last == "" || h.key < last):
				heads = append(heads, h)
			}
			return true
		}
		for _, root := range roots {
			next, stop := iter.Pull2(keys(root))
			defer stop()
			if !advance(head{tail{root: root}, next}) {
				return
			}
		}
		for len(heads) > 0 {
			oldest := 0
			for i := range heads {
				if heads[i].key < heads[oldest].key {
					oldest = i
				}
			}
			h := heads[oldest]
			heads = slices.Delete(heads, oldest, oldest+1)
			if !yield(h.tail, nil) || !advance(h) {
				return
			}
		}
	}
}

var errForeign = errors.New("not an object of Bedrock's log")

// piece returns the object under a key. It skips the other objects that Bedrock writes.
func (a Archive) piece(key, behindRegion string) (piece, bool) {
	m := layout.FindStringSubmatch(behindRegion)
	foreign := piece{name: key, open: func(context.Context) (io.ReadCloser, error) { return nil, errForeign }}
	switch {
	case strings.HasSuffix(key, "/") || path.Base(key) == permissionCheck:
		return piece{}, false
	case m == nil:
		return foreign, !strings.Contains(behindRegion, "/data/")
	}
	delivered, err := time.Parse(hourFolder, m[1])
	if err != nil || !strings.HasSuffix(key, ".json.gz") {
		return foreign, true
	}
	if t, err := time.Parse("20060102T150405", m[2]); err == nil {
		delivered = t
	}
	return piece{key, delivered, func(ctx context.Context) (io.ReadCloser, error) {
		content, err := a.store.open(ctx, key)
		if err != nil {
			return nil, err
		}
		return unzip(content)
	}}, true
}

// roots returns the folders of Regions.
func (a Archive) roots(ctx context.Context) (roots []string, err error) {
	found := false
	var search func(folder string, depth int) error
	search = func(folder string, depth int) error {
		under, err := a.store.folders(ctx, folder)
		if err != nil {
			return err
		}
		for _, name := range under {
			switch {
			case path.Base(name) == contract.RecordsFolder:
				found = true
				regions, err := a.store.folders(ctx, name)
				if err != nil {
					return err
				}
				roots = append(roots, regions...)
			case depth > 0:
				if err := search(name, depth-1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	prefix := strings.Trim(a.prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	// The depth allows for the account's folder, AWSLogs, and a prefix of two parts.
	if err := search(prefix, 4); err != nil {
		return nil, fmt.Errorf("searching %v: %w", a.store, err)
	}
	if !found {
		return nil, fmt.Errorf("%v has no AWSLogs/ACCOUNT/BedrockModelInvocationLogs/ below %q: Bedrock writes that when invocation logging is switched on; name the right bucket, or the log's prefix", a.store, prefix)
	}
	return roots, nil
}

// Body opens a large body by its S3 path.
func (a Archive) Body(ctx context.Context, at string) (io.ReadCloser, error) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(at, "s3://"), "/")
	// A principal that can forge a record must not choose which objects are fetched with the auditor's permissions.
	if !strings.HasPrefix(at, "s3://") || a.bucket != "" && bucket != a.bucket {
		return nil, fmt.Errorf("body %s is not in the log's bucket, %s", at, a.bucket)
	}
	content, err := a.store.open(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("body %s: %w", at, err)
	}
	if strings.HasSuffix(key, ".gz") {
		return unzip(content)
	}
	return content, nil
}

// unzipped reads the content of a gzipped object.
type unzipped struct {
	gzip.Reader
	begin bytes.Buffer
	from  io.Closer
}

// unzippers are reused, because each is larger than the content of most objects.
var unzippers = sync.Pool{New: func() any { return new(unzipped) }}

// ahead is how many bytes of an object are read before it is unzipped. That is all of most objects, and gzip reads
// faster from memory.
const ahead = 1 << 20

func unzip(content io.ReadCloser) (io.ReadCloser, error) {
	u := unzippers.Get().(*unzipped)
	u.from = content
	u.begin.Reset()
	n, err := u.begin.ReadFrom(io.LimitReader(content, ahead))
	var all io.Reader = bytes.NewReader(u.begin.Bytes())
	if n == ahead {
		all = io.MultiReader(all, content)
	}
	if err == nil {
		err = u.Reset(all)
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("gzip: empty")
	}
	if err != nil {
		u.Close()
		return nil, err
	}
	return u, nil
}

// Close closes the source, once.
func (u *unzipped) Close() error {
	if u.from == nil {
		return nil
	}
	err := u.from.Close()
	u.from = nil
	unzippers.Put(u)
	return err
}

type dirStore struct {
	fs   fs.FS
	name string
}

func (d dirStore) String() string { return "folder " + d.name }

func (d dirStore) keys(_ context.Context, prefix, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		err := fs.WalkDir(d.fs, clean(prefix), func(key string, entry fs.DirEntry, err error) error {
			folder := key + "/"
			switch {
			case err != nil:
				return err
			case entry.IsDir() && len(folder) <= len(after) && folder < after[:len(folder)]:
				return fs.SkipDir
			case !entry.IsDir() && key > after && !yield(key, nil):
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			yield("", err)
		}
	}
}

func (d dirStore) folders(_ context.Context, prefix string) (folders []string, err error) {
	entries, err := fs.ReadDir(d.fs, clean(prefix))
	for _, entry := range entries {
		if entry.IsDir() {
			folders = append(folders, prefix+entry.Name()+"/")
		}
	}
	return folders, err
}

func (d dirStore) open(_ context.Context, key string) (io.ReadCloser, error) { return d.fs.Open(key) }

func clean(prefix string) string { return path.Clean("./" + prefix) }

// File is a file of lines, gzipped if its name ends in .gz.
type File string

func (f File) String() string { return "file " + string(f) }

func (f File) pieces(context.Context, time.Time, time.Time) iter.Seq2[piece, error] {
	return func(yield func(piece, error) bool) {
		yield(piece{name: string(f), open: func(context.Context) (io.ReadCloser, error) {
			file, err := os.Open(string(f))
			if err != nil || !strings.HasSuffix(string(f), ".gz") {
				return file, err
			}
			return unzip(file)
		}}, nil)
	}
}
