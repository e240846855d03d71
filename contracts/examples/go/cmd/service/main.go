// Service has two protected routes, on net/http. Arguments: ISSUER AUDIENCE [ADDRESS].
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"apostille.example/apostille"
)

var (
	mayRead  = apostille.HasPermission("inventory.read")
	mayWrite = apostille.HasPermission("inventory.write")
)

type service struct {
	verifier *apostille.Verifier
	realm    string
}

// problem is the body of a refusal (RFC 9457).
type problem struct {
	Title   string   `json:"title"`
	Status  int      `json:"status"`
	Detail  string   `json:"detail"`
	Code    string   `json:"code"`
	Claim   string   `json:"claim,omitempty"`
	Missing []string `json:"missing,omitempty"`
}

// protected lets requests through to next that meet the requirement.
func (s *service) protected(required apostille.Requirement, next http.HandlerFunc) http.HandlerFunc {
	return func(response http.ResponseWriter, request *http.Request) {
		token, code := bearerToken(request.Header.Values("Authorization"))
		if code != "" {
			s.refuse(response, problem{Code: code})
			return
		}
		claims, err := s.verifier.Verify(request.Context(), token)
		var refusal *apostille.InvalidToken
		switch {
		case errors.As(err, &refusal):
			s.refuse(response, problem{Code: refusal.Code, Claim: refusal.Claim})
		case err != nil: // "could not ask the issuer" is never "invalid token"
			log.Print(err)
			s.refuse(response, problem{Code: "keys_unavailable"})
		case !required.Allows(claims.Permissions):
			missing := required.Missing(claims.Permissions)
			s.refuse(response, problem{Code: "permission_denied", Missing: missing})
		default:
			next(response, request)
		}
	}
}

// bearerToken returns the one bearer token (RFC 6750 section 2.1), or the code
// of what is wrong.
func bearerToken(values []string) (token, code string) {
	if len(values) == 0 {
		return "", "missing_token"
	}
	words := strings.Fields(values[0])
	if len(values) > 1 || len(words) != 2 || !strings.EqualFold(words[0], "Bearer") ||
		strings.Contains(words[1], ",") {
		return "", "invalid_request"
	}
	return words[1], ""
}

func (s *service) refuse(response http.ResponseWriter, p problem) {
	challenge := "" // RFC 6750 section 3
	switch p.Code {
	case "missing_token":
		p.Status, p.Detail = http.StatusUnauthorized, "An access token is required."
	case "invalid_request":
		p.Status, p.Detail = http.StatusBadRequest, "Send exactly one bearer token."
		challenge = `, error="invalid_request"`
	case "permission_denied":
		p.Status, p.Detail = http.StatusForbidden, "The access token lacks a permission."
		challenge = `, error="insufficient_scope"`
	case "keys_unavailable":
		p.Status, p.Detail = http.StatusServiceUnavailable, "Try again in a moment."
		response.Header().Set("Retry-After", "5")
	default:
		p.Status, p.Detail = http.StatusUnauthorized, "The access token is refused."
		challenge = `, error="invalid_token"`
	}
	p.Title = http.StatusText(p.Status)
	if p.Status != http.StatusServiceUnavailable {
		challenge = fmt.Sprintf("Bearer realm=%q%s", s.realm, challenge)
		response.Header().Set("WWW-Authenticate", challenge)
	}
	response.Header().Set("Content-Type", "application/problem+json")
	response.Header().Set("Cache-Control", "no-store")
	response.WriteHeader(p.Status)
	_ = json.NewEncoder(response).Encode(p)
}

func (s *service) stock(response http.ResponseWriter, request *http.Request) {
	answer := func(body interface{}) http.HandlerFunc {
		return func(response http.ResponseWriter, _ *http.Request) {
			response.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(response).Encode(body)
		}
	}
	switch request.Method {
	case http.MethodGet:
		s.protected(mayRead, answer(map[string]int{"bolts": 40, "nuts": 12}))(response, request)
	case http.MethodPost:
		s.protected(mayWrite, answer(map[string]bool{"accepted": true}))(response, request)
	default:
		http.Error(response, "", http.StatusMethodNotAllowed)
	}
}

func main() {
	issuer, audience, address := os.Args[1], os.Args[2], "127.0.0.1:0"
	if len(os.Args) > 3 {
		address = os.Args[3]
	}
	verifier, err := apostille.NewVerifier(apostille.Config{
		Issuer:   issuer,
		Audience: []string{audience},
		Keys:     apostille.RemoteKeys(issuer),
		Leeway:   30 * time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	service := &service{verifier: verifier, realm: audience}
	mux := http.NewServeMux()
	mux.HandleFunc("/stock", service.stock)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.Serve(listener))
}
