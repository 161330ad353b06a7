// pipegraftGrayRelease: Moves requests to the new version step by step, and takes it back if it is worse.
//
// Generated from the stage's definition by `pipegraft templates`. Documentation: docs/stages/gray-release.md

/** See pipegraftGrayRelease.txt for the arguments. */
def call(Map args = [:]) {
    pipegraft.runStage('gray-release', args)
}
