//go:build e2e

package sandbox

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

// A Docker engine runs containers as root, with any folder of the machine in them. moto asks it to for each function that
// is invoked and each batch job.
func TestEndToEndMotoReachesNoDockerEngine(t *testing.T) {
	folder, err := os.MkdirTemp("", "docker")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	engine, err := net.Listen("unix", filepath.Join(folder, "docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	var asked sync.Map
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Method+" "+r.URL.Path, true)
		http.NotFound(w, r)
	})}
	go server.Serve(engine)
	defer server.Close()
	t.Setenv("DOCKER_HOST", "unix://"+engine.Addr().String())
	c, stop, err := wire.StartMoto(t.Context(), "ap-northeast-1", filepath.Join(t.TempDir(), "moto.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	var ignored struct{}
	if err := iam.Query(ctx, c, "CreateRole", map[string]string{"RoleName": "f", "AssumeRolePolicyDocument": trust}, &ignored); err != nil {
		t.Fatal(err)
	}
	function := `{"FunctionName":"f","Runtime":"python3.13","Handler":"f.f","Role":"arn:aws:iam::` + account + `:role/f","Code":{"ZipFile":"UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="}}`
	if _, err := c.Do(ctx, "lambda", http.MethodPost, "/2015-03-31/functions", nil, []byte(function)); err != nil {
		t.Fatal(err)
	}
	answer, err := c.Do(ctx, "lambda", http.MethodPost, "/2015-03-31/functions/f/invocations", nil, []byte("{}"))
	t.Logf("invoked: %s, %v", answer, err)
	asked.Range(func(request, _ any) bool {
		t.Errorf("moto asked the Docker engine: %v", request)
		return true
	})
}
