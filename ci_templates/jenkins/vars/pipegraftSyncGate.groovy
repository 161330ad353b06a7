// pipegraftSyncGate: Waits until the GitOps engine has the new revision live and healthy, or says why not.
//
// Generated from the stage's definition by `pipegraft templates`. Documentation: docs/stages/sync-gate.md

/** See pipegraftSyncGate.txt for the arguments. */
def call(Map args = [:]) {
    pipegraft.runStage('sync-gate', args)
}
