package apigateway

import (
	"net/http"
	"slices"
)

// What becomes of a function's headers (API Gateway Developer Guide, "Amazon API Gateway important notes", the table of a
// Lambda integration's responses, and what HTTP forbids to pass on). That table passes Content-Length on and does not list
// X-Amzn-Requestid; here API Gateway says both itself, and the function's are remapped.
var (
	droppedHeaders = []string{
		"Expect", "Host", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Via",
	}
	remappedHeaders = []string{
		"Authorization", "Connection", "Content-Length", "Content-Md5", "Date", "Max-Forwards", "Server", "User-Agent", "Www-Authenticate",
		"X-Amzn-Requestid",
	}
)

// responseHeader merges a function's headers as API Gateway does (API Gateway Developer Guide, "Lambda proxy integrations
// in API Gateway").
func responseHeader(single map[string]string, multi map[string][]string, cookies []string) http.Header {
	h := http.Header{"Content-Type": nil}
	add := func(name, value string) {
		name = http.CanonicalHeaderKey(name)
		if slices.Contains(droppedHeaders, name) {
			return
		}
		if slices.Contains(remappedHeaders, name) {
			name = "X-Amzn-Remapped-" + name
		}
		if !slices.Contains(h[name], value) {
			h.Add(name, value)
		}
	}
	for name, values := range multi {
		for _, value := range values {
			add(name, value)
		}
	}
	for name, value := range single {
		add(name, value)
	}
	for _, cookie := range cookies {
		add("Set-Cookie", cookie)
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json") // the important notes' last one
	}
	return h
}
