package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

const modulePath = "github.com/tracewall/tracewall"

// errNoModule tells what to do when there is no source to build the functions from.
var errNoModule = errors.New("this needs tracewall's source: run it inside a clone of " + modulePath)

// moduleRoot finds the folder of tracewall's go.mod, from the working directory upwards.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil {
			for line := range strings.Lines(string(text)) {
				if strings.TrimSpace(line) == "module "+modulePath {
					return dir, nil
				}
			}
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", usageError{errNoModule}
		}
		dir = parent
	}
}
