// verifier checks a log as a stranger: of the project it has nothing but the formats, and of Go
// nothing but the standard library.
//
//	verifier -key VKEY [-token TOKEN] [-old FILE]... PREFIX
//
// PREFIX is the URL that carries checkpoint and tile/. Of each FILE, a checkpoint that was saved
// before, the log must be a continuation. Exit code 0 only if everything holds.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

type hash = [sha256.Size]byte

// ---- the tree (RFC 6962, section 2.1) -----------------------------------------------------

func leaf(entry []byte) hash { return sha256.Sum256(append([]byte{0}, entry...)) }

func node(left, right hash) hash {
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

// root is the tree's definition, word by word: split at the largest power of two below the size.
func root(leaves []hash) hash {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	}
	k := 1
	for 2*k < len(leaves) {
		k *= 2
	}
	return node(root(leaves[:k]), root(leaves[k:]))
}

// ---- keys and notes (c2sp.org/signed-note, c2sp.org/tlog-checkpoint) -----------------------

type verifierKey struct {
	name   string
	id     []byte
	public ed25519.PublicKey
}

func parseKey(text string) (key verifierKey, err error) {
	parts := strings.SplitN(text, "+", 3)
	if len(parts) != 3 {
		return key, errors.New("a key has a name, an id and bytes")
	}
	typed, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(typed) != 1+ed25519.PublicKeySize || typed[0] != 1 {
		return key, errors.New("this is no Ed25519 key")
	}
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), typed...))
	if hex.EncodeToString(sum[:4]) != parts[1] {
		return key, errors.New("the id of the key is wrong")
	}
	return verifierKey{parts[0], sum[:4], typed[1:]}, nil
}

type checkpoint struct {
	size int
	root hash
}

func openCheckpoint(raw []byte, key verifierKey) (found checkpoint, err error) {
	end := bytes.LastIndex(raw, []byte("\n\n"))
	if end < 0 || !bytes.HasSuffix(raw, []byte("\n")) {
		return found, errors.New("this is no note")
	}
	text := raw[:end+1]
	signed := false
	for _, line := range strings.Split(strings.TrimSuffix(string(raw[end+2:]), "\n"), "\n") {
		words := strings.Split(line, " ")
		if len(words) != 3 || words[0] != "—" {
			return found, errors.New("this is no line with a signature")
		}
		signature, err := base64.StdEncoding.Strict().DecodeString(words[2])
		if err != nil || len(signature) < 5 {
			return found, errors.New("this is no signature")
		}
		if words[1] == key.name && bytes.Equal(signature[:4], key.id) {
			if !ed25519.Verify(key.public, text, signature[4:]) {
				return found, errors.New("the signature is wrong")
			}
			signed = true
		}
	}
	if !signed {
		return found, errors.New("the key has not signed this")
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 4 || lines[0] != key.name {
		return found, errors.New("this is no checkpoint of this log")
	}
	found.size, err = strconv.Atoi(lines[1])
	if err != nil || found.size < 0 || strconv.Itoa(found.size) != lines[1] {
		return found, errors.New("this is no size")
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || copy(found.root[:], decoded) != len(found.root) || len(decoded) != len(found.root) {
		return found, errors.New("this is no root")
	}
	return found, nil
}

// ---- tiles and bundles (c2sp.org/tlog-tiles) ------------------------------------------------

const width = 256

// path spells the place of a tile of which a tree has so many hashes at this level.
func path(kind string, number, hashes int) string {
	spelled := fmt.Sprintf("%03d", number%1000)
	for rest := number / 1000; rest > 0; rest /= 1000 {
		spelled = fmt.Sprintf("x%03d/%s", rest%1000, spelled)
	}
	if held := hashes - number*width; held < width {
		spelled += fmt.Sprintf(".p/%d", held)
	}
	return "tile/" + kind + "/" + spelled
}

func splitBundle(raw []byte) (entries [][]byte, err error) {
	for len(raw) > 0 {
		if len(raw) < 2 {
			return nil, errors.New("a bundle ends within a length")
		}
		end := 2 + int(raw[0])<<8 + int(raw[1])
		if end > len(raw) {
			return nil, errors.New("a bundle ends within an entry")
		}
		entries = append(entries, raw[2:end])
		raw = raw[end:]
	}
	return entries, nil
}

// ---- the log -------------------------------------------------------------------------------

type log struct{ prefix, token string }

var client = &http.Client{Timeout: time.Minute}

func (log log) get(path string) ([]byte, error) {
	request, err := http.NewRequest("GET", log.prefix+"/"+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+log.token)
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

// leaves hashes every entry, anew.
func (log log) leaves(size int) (leaves []hash, err error) {
	for number := 0; number*width < size; number++ {
		raw, err := log.get(path("entries", number, size))
		if err != nil {
			return nil, err
		}
		entries, err := splitBundle(raw)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			leaves = append(leaves, leaf(entry))
		}
	}
	if len(leaves) != size {
		return nil, fmt.Errorf("the bundles have %d entries, and not %d", len(leaves), size)
	}
	return leaves, nil
}

// checkTiles compares every tile, of every level, with what the leaves make.
func (log log) checkTiles(leaves []hash) error {
	for level, row := 0, leaves; len(row) > 0; level++ {
		var above []hash
		for number := 0; number*width < len(row); number++ {
			part := row[number*width:]
			if len(part) >= width {
				part = part[:width]
				above = append(above, root(part))
			}
			raw, err := log.get(path(strconv.Itoa(level), number, len(row)))
			if err != nil {
				return err
			}
			expected := make([]byte, 0, len(part)*sha256.Size)
			for _, each := range part {
				expected = append(expected, each[:]...)
			}
			if !bytes.Equal(raw, expected) {
				return fmt.Errorf("tile %d/%d is not what the entries make", level, number)
			}
		}
		row = above
	}
	return nil
}

func (log log) check(key verifierKey, saved []string) error {
	raw, err := log.get("checkpoint")
	if err != nil {
		return err
	}
	signed, err := openCheckpoint(raw, key)
	if err != nil {
		return err
	}
	leaves, err := log.leaves(signed.size)
	if err != nil {
		return err
	}
	if root(leaves) != signed.root {
		return errors.New("the entries do not make the signed root")
	}
	for _, file := range saved {
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		old, err := openCheckpoint(raw, key)
		if err != nil {
			return err
		}
		if old.size > signed.size || root(leaves[:old.size]) != old.root {
			return fmt.Errorf("the log does not continue what was signed at size %d", old.size)
		}
	}
	if err := log.checkTiles(leaves); err != nil {
		return err
	}
	fmt.Println(signed.size)
	return nil
}

type files []string

func (files *files) String() string { return strings.Join(*files, " ") }

func (files *files) Set(name string) error {
	*files = append(*files, name)
	return nil
}

func main() {
	var saved files
	spelled := flag.String("key", "", "the verifier key of the log")
	token := flag.String("token", "", "a bearer token")
	flag.Var(&saved, "old", "a checkpoint that was saved before")
	flag.Parse()
	key, err := parseKey(*spelled)
	if err == nil {
		err = log{flag.Arg(0), *token}.check(key, saved)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
