// pipegraftIacBump: Writes the release to the IaC repository by one commit.
//
// Generated from the stage's definition by `pipegraft templates`. Documentation: docs/stages/iac-bump.md
//
// Needs on the agent:
//   git: reads and writes the IaC repository
//   PIPEGRAFT_IAC_TOKEN: writes to the IaC repository over HTTP (from the credentials store)
//   PIPEGRAFT_IAC_USER: goes with the token where the server wants a certain user
//   PIPEGRAFT_IAC_SSH_KEY: file with the key that writes over SSH (from the credentials store)
//   PIPEGRAFT_SIGNING_KEY: signs commits: a file with an SSH or OpenPGP key, or a GPG key's id
//   PIPEGRAFT_SIGNING_PASSWORD: opens an OpenPGP key of a file (from the credentials store)

/** See pipegraftIacBump.txt for the arguments. */
def call(Map args = [:]) {
    pipegraft.runStage('iac-bump', args)
}
