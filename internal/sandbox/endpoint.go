package sandbox

import (
	"encoding/json"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/events"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
	"net/http"
	"net/http/httputil"
	"net/url"
)

// service is an AWS API that the sandbox answers itself, or whose answers from moto it corrects.
type service interface {
	// Handle answers r and reports true, or prepares r for moto and reports false. An error refuses r.
	Handle(w http.ResponseWriter, r *http.Request) (handled bool, err error)
	// Amend corrects a successful answer of moto.
	Amend(response *http.Response) error
}

// endpoint is the one address of every AWS API: moto, and what moto lacks.
type endpoint struct {
	proxy    *httputil.ReverseProxy
	services map[string][]service               // by the name that a signature's scope has
	caller   func(r *http.Request) (arn string) // names the caller by the access key
	events   *events.Bus                        // nil makes no events of calls
}

func newEndpoint(moto wire.Client, services map[string][]service, caller func(r *http.Request) string) (*endpoint, error) {
	target, err := url.Parse(moto.URL)
	if err != nil {
		return nil, err
	}
	e := &endpoint{services: services, caller: caller}
	e.proxy = &httputil.ReverseProxy{
		Transport: moto.Transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // S3 and signatures go by the name that was called
		},
		ModifyResponse: e.amend,
		// A client that leaves in mid-request is no news.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}
	return e, nil
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if wire.FromBrowser(r) {
		http.Error(w, "the emulated AWS answers programs on this machine, not web pages", http.StatusForbidden)
		return
	}
	if e.events != nil && r.Method != http.MethodGet && r.Method != http.MethodHead {
		body, err := wire.Peek(r)
		if c, ok := events.CallOf(r, body); ok && err == nil {
			e.events.Tell(w, r, e.caller(r), c, e.serve)
			return
		}
	}
	e.serve(w, r)
}

// serve passes on to moto what no service answers.
func (e *endpoint) serve(w http.ResponseWriter, r *http.Request) {
	for _, s := range e.services[wire.ServiceOf(r)] {
		handled, err := s.Handle(w, r)
		if err != nil {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("X-Amzn-Errortype", "ValidationException")
			w.WriteHeader(http.StatusBadRequest)
			json.NewEncoder(w).Encode(map[string]string{"message": err.Error()})
			return
		}
		if handled {
			return
		}
	}
	e.proxy.ServeHTTP(w, r)
}

func (e *endpoint) amend(response *http.Response) error {
	if response.StatusCode >= 300 {
		return nil
	}
	for _, s := range e.services[wire.ServiceOf(response.Request)] {
		if err := s.Amend(response); err != nil {
			return err
		}
	}
	return nil
}
