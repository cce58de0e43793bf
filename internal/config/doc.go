// Package config reads aftermath.yaml: its keys and their defaults, what is wrong with it, the secrets and certificates that it
// names, and what a change of it needs to take effect.
package config
