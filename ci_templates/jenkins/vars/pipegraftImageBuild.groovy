// pipegraftImageBuild: Builds an image for each component whose inputs changed.
//
// Generated from the stage's definition by `pipegraft templates`. Documentation: docs/stages/image-build.md
//
// Needs on the agent:
//   PIPEGRAFT_REGISTRY: names the host that user and password below are for
//   PIPEGRAFT_REGISTRY_USER: logs in to it, unless a docker configuration does
//   PIPEGRAFT_REGISTRY_PASSWORD: goes with the user (from the credentials store)

/** See pipegraftImageBuild.txt for the arguments. */
def call(Map args = [:]) {
    pipegraft.runStage('image-build', args)
}
