// The operations of clients_driven.py by Go's pkg/sftp.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

type operation func(words []string) ([]string, error)

func put(client *sftp.Client, local, remote string, flags int) error {
	source, err := os.Open(local)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := client.OpenFile(remote, flags)
	if err != nil {
		return err
	}
	if flags&os.O_TRUNC == 0 {
		known, err := target.Stat()
		if err != nil {
			return err
		}
		if _, err = source.Seek(known.Size(), io.SeekStart); err != nil {
			return err
		}
		if _, err = target.Seek(known.Size(), io.SeekStart); err != nil {
			return err
		}
	}
	if _, err = target.ReadFrom(source); err != nil {
		target.Close()
		return err
	}
	return target.Close()
}

func get(client *sftp.Client, remote, local string, flags int) error {
	source, err := client.Open(remote)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(local, flags|os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer target.Close()
	known, err := target.Stat()
	if err != nil {
		return err
	}
	if _, err = source.Seek(known.Size(), io.SeekStart); err != nil {
		return err
	}
	_, err = source.WriteTo(target)
	return err
}

func number(word string) int64 {
	value, _ := strconv.ParseInt(word, 10, 64)
	return value
}

func operations(client *sftp.Client) map[string]operation {
	plain := func(do func(w []string) error) operation {
		return func(w []string) ([]string, error) { return nil, do(w) }
	}
	const write = os.O_WRONLY | os.O_CREATE
	return map[string]operation{
		"about":      func([]string) ([]string, error) { return []string{"pkg/sftp"}, nil },
		"put":        plain(func(w []string) error { return put(client, w[0], w[1], write|os.O_TRUNC) }),
		"resume_put": plain(func(w []string) error { return put(client, w[0], w[1], write) }),
		"get":        plain(func(w []string) error { return get(client, w[0], w[1], os.O_TRUNC) }),
		"resume_get": plain(func(w []string) error { return get(client, w[0], w[1], os.O_APPEND) }),
		"rename":     plain(func(w []string) error { return client.Rename(w[0], w[1]) }),
		"replace":    plain(func(w []string) error { return client.PosixRename(w[0], w[1]) }),
		"mkdir":      plain(func(w []string) error { return client.Mkdir(w[0]) }),
		"rmdir":      plain(func(w []string) error { return client.RemoveDirectory(w[0]) }),
		"chmod":      plain(func(w []string) error { return client.Chmod(w[0], os.FileMode(number(w[1]))) }),
		"remove":     plain(func(w []string) error { return client.Remove(w[0]) }),
		"utime": plain(func(w []string) error {
			moment := time.Unix(number(w[1]), 0)
			return client.Chtimes(w[0], moment, moment)
		}),
		"names": func(w []string) (names []string, err error) {
			entries, err := client.ReadDir(w[0])
			for _, entry := range entries {
				names = append(names, entry.Name())
			}
			return names, err
		},
		"stat": func(w []string) ([]string, error) {
			found, err := client.Stat(w[0])
			if err != nil {
				return nil, err
			}
			return []string{fmt.Sprint(found.Size()), fmt.Sprint(uint32(found.Mode().Perm())), fmt.Sprint(found.ModTime().Unix())}, nil
		},
	}
}

func connect() (*ssh.Client, error) {
	secret, err := os.ReadFile(os.Getenv("SFTP_KEY"))
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(secret)
	if err != nil {
		return nil, err
	}
	blob, err := base64.StdEncoding.DecodeString(os.Getenv("SFTP_HOST_KEY"))
	if err != nil {
		return nil, err
	}
	hostKey, err := ssh.ParsePublicKey(blob)
	if err != nil {
		return nil, err
	}
	return ssh.Dial("tcp", os.Getenv("SFTP_HOST")+":"+os.Getenv("SFTP_PORT"), &ssh.ClientConfig{
		User:            os.Getenv("SFTP_USER"),
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: ssh.FixedHostKey(hostKey),
	})
}

func main() {
	connection, err := connect()
	if err != nil {
		panic(err)
	}
	defer connection.Close()
	client, err := sftp.NewClient(connection)
	if err != nil {
		panic(err)
	}
	defer client.Close()
	known := operations(client)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		for i, word := range words[1:] {
			decoded, _ := hex.DecodeString(word)
			words[i+1] = string(decoded)
		}
		results, err := known[words[0]](words[1:])
		if err != nil {
			fmt.Printf("failed %x\n", err.Error())
			continue
		}
		fmt.Print("ok")
		for _, result := range results {
			fmt.Printf(" %x", result)
		}
		fmt.Println()
	}
}
