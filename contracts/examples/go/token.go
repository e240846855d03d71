package apostille

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"unicode/utf8"
)

const (
	maxTokenBytes = 16 * 1024
	maxDepth      = 32
	maxKidRunes   = 1024
)

// One encoding per value: no padding, and no stray bits in the last character
// (RFC 4648 section 3.5). golang-jwt lets stray bits pass.
var base64url = base64.RawURLEncoding.Strict()

// Strings, with the colon that makes them a name, and brackets of valid JSON.
var structure = regexp.MustCompile(`"(?:[^"\\]|\\.)*"(\s*:)?|[{}\[\]]`)

// Members that would change what is verified or with what: unknown extensions
// (RFC 7515 section 4.1.11), keys out of the token itself (RFC 8725 section
// 3.10), an unencoded payload (RFC 7797 section 7).
var refusedMembers = []string{"crit", "jku", "jwk", "x5u", "x5c", "b64"}

// header is what a token asks for. Nothing of it is proven.
type header struct{ algorithm, kid string }

// readHeader checks size, shape and header of token, more strictly than libraries do.
func readHeader(token string, algorithms []string) (header, error) {
	if len(token) > maxTokenBytes {
		return header{}, invalid("token_too_large")
	}
	segments := strings.Split(token, ".")
	if len(segments) != 3 || segments[0] == "" || segments[1] == "" {
		return header{}, invalid("malformed_token")
	}
	for _, part := range segments {
		if _, err := decodeSegment(part); err != nil {
			return header{}, err
		}
	}
	members, err := readObject(segments[0], true)
	if err != nil {
		return header{}, err
	}
	kind, _ := members["typ"].(string)
	switch strings.ToLower(kind) {
	case "at+jwt", "application/at+jwt": // RFC 9068 section 4
	default:
		return header{}, invalid("wrong_type")
	}
	algorithm, _ := members["alg"].(string)
	if !contains(algorithms, algorithm) {
		return header{}, invalid("algorithm_not_allowed")
	}
	kid, _ := members["kid"].(string)
	if kid == "" || utf8.RuneCountInString(kid) > maxKidRunes {
		return header{}, invalid("malformed_token")
	}
	for _, name := range refusedMembers {
		if _, present := members[name]; present {
			return header{}, invalid("malformed_token")
		}
	}
	return header{algorithm, kid}, nil
}

// readPayload returns the payload of token, whose signature the caller has verified.
func readPayload(token string) (map[string]interface{}, error) {
	return readObject(strings.Split(token, ".")[1], false)
}

func decodeSegment(segment string) ([]byte, error) {
	// encoding/base64 skips line breaks.
	if strings.ContainsAny(segment, "\r\n") {
		return nil, invalid("malformed_token")
	}
	octets, err := base64url.DecodeString(segment)
	if err != nil {
		return nil, invalid("malformed_token")
	}
	return octets, nil
}

// readObject returns the JSON object in segment. It is a map and not a struct,
// because encoding/json finds a struct's fields in any case: "ISS" is not "iss".
func readObject(segment string, distinct bool) (map[string]interface{}, error) {
	text, err := decodeSegment(segment)
	if err != nil {
		return nil, err
	}
	// encoding/json would replace what is not UTF-8 (RFC 8725 section 3.7).
	if !utf8.Valid(text) || !json.Valid(text) || !wellStructured(text, distinct) {
		return nil, invalid("malformed_token")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var object map[string]interface{}
	if err := decoder.Decode(&object); err != nil || object == nil {
		return nil, invalid("malformed_token")
	}
	return object, nil
}

// wellStructured says whether valid JSON nests no deeper than allowed and, if
// distinct, names no member twice: two readers would see two headers (RFC 7515
// section 4).
func wellStructured(text []byte, distinct bool) bool {
	var names []map[string]bool // of each object that is open; of an array, none
	for _, match := range structure.FindAllSubmatch(text, -1) {
		token, colon := match[0], match[1]
		switch {
		case token[0] == '{' || token[0] == '[':
			names = append(names, map[string]bool{})
			if len(names) > maxDepth {
				return false
			}
		case token[0] == '}' || token[0] == ']':
			names = names[:len(names)-1]
		case colon != nil && distinct:
			var name string
			if json.Unmarshal(token[:len(token)-len(colon)], &name) != nil || names[len(names)-1][name] {
				return false
			}
			names[len(names)-1][name] = true
		}
	}
	return true
}

func contains(list []string, text string) bool {
	for _, element := range list {
		if element == text {
			return true
		}
	}
	return false
}
