// pipegraft: runs the stages of a delivery.
//
// Generated from the definitions of the stages by `pipegraft templates`. Documentation: docs/jenkins.md
//
// Needs on the agent: pipegraft, or Python 3.11 with pip; git; and what each stage's step says.
// Needs in Jenkins: the plugins Pipeline, Git, Lockable Resources and Pipeline: Milestone Step;
// Docker Pipeline where `image` is given, Credentials Binding where `credentials` are.
//
// Values reach the shell as variables, never as part of a command. What is known between two stages
// lies in git and in .pipegraft/release.json, never here: a build goes on after a restart.
import io.pipegraft.Stages

/** Runs the stages of the plan one after another; see pipegraft.txt. */
def call(Map args = [:]) {
    List ids = args.stages ?: planned(args)
    Map inputs = args.inputs ?: [:]
    Map common = args - args.subMap(['stages', 'inputs'])
    for (int i = 0; i < ids.size(); i++) {
        String id = ids[i]
        List parts = id.tokenize(':')
        Map own = parts.size() > 1 ? [environment: parts[1]] : [:]
        Map values = inputs[id] ?: [:]
        stage(id) {
            runStage(parts[0], common + own + [inputs: values])
        }
    }
}

/** Runs one stage; what the steps named after the stages call. */
def runStage(String name, Map args = [:]) {
    Map definition = Stages.ALL[name]
    check(name, definition, args)
    if (!delivers(args)) {
        echo('pipegraft: ' + name + ' runs on the branch that is delivered, not on this one')
        return
    }
    if (!definition.deploys || args.lock == false) {
        work(name, definition, args)
        return
    }
    String resource = 'pipegraft/' + env.JOB_NAME + '/' + (args.environment ?: '')
    lock(resource: resource, inversePrecedence: true) {
        milestone()
        work(name, definition, args)
    }
}

private void check(String name, Map definition, Map args) {
    if (definition == null) {
        error('pipegraft: there is no stage called ' + name + '; there are: ' + Stages.ALL.keySet().join(', '))
    }
    List unknown = (args.keySet() - Stages.ARGUMENTS).toList()
    if (unknown) {
        error('pipegraft: ' + name + ' has no argument ' + unknown[0] + '; there are: ' + Stages.ARGUMENTS.join(', '))
    }
    Map inputs = args.inputs ?: [:]
    unknown = (inputs.keySet() - definition.inputs.keySet()).toList()
    if (unknown) {
        error('pipegraft: ' + name + ' has no input ' + unknown[0] + '; there are: ' + definition.inputs.keySet().join(', '))
    }
}

/** Whether this build delivers: a change request does not, nor does any branch but the one delivered. */
private boolean delivers(Map args) {
    if (env.CHANGE_ID) {
        return false
    }
    if (args.branch) {
        return env.BRANCH_NAME == args.branch
    }
    return !env.BRANCH_NAME || env.BRANCH_IS_PRIMARY == 'true' || env.BRANCH_NAME in ['main', 'master']
}

private void work(String name, Map definition, Map args) {
    timeout(time: args.timeout ?: 1440, unit: 'MINUTES') {
        inWorkspace(args) {
            if (env.PIPEGRAFT_RECORD == 'stashed') {
                unstash('pipegraft')
            }
            try {
                withEnv(variables(name, definition, args)) {
                    withSecrets(args) {
                        runCommand(name)
                    }
                }
            } finally {
                stash(name: 'pipegraft', includes: '.pipegraft/release.json', allowEmpty: true)
                env.PIPEGRAFT_RECORD = 'stashed'
                archiveArtifacts(artifacts: '.pipegraft/release.json, .pipegraft/*.junit.xml', allowEmptyArchive: true)
                if (definition.tests) {
                    showTests('.pipegraft/' + name + '-' + (args.environment ?: '*') + '.junit.xml')
                }
            }
        }
    }
}

/** What the stage found, among the build's tests; the stage itself says whether the build fails. */
private void showTests(String results) {
    try {
        junit(testResults: results, allowEmptyResults: true, skipMarkingBuildUnstable: true)
    } catch (NoSuchMethodError error) {
        echo('pipegraft: the JUnit plugin is not installed, so ' + results + ' is an artifact alone')
    }
}

/** In the workspace there is, or in a new one where there is none or another agent is wanted. */
private void inWorkspace(Map args, Closure body) {
    if (env.WORKSPACE && !args.agent) {
        inFolder(args, body)
        return
    }
    node(args.agent ?: '') {
        checkout(scm)
        inFolder(args, body)
    }
}

private void inFolder(Map args, Closure body) {
    if (args.image) {
        docker.image(args.image).inside {
            dir(args.directory ?: '.') {
                body()
            }
        }
        return
    }
    dir(args.directory ?: '.') {
        body()
    }
}

private List variables(String name, Map definition, Map args) {
    List found = [
        'PIPEGRAFT_STAGE=' + name,
        'PIPEGRAFT_ENVIRONMENT=' + (args.environment ?: ''),
        'PIPEGRAFT_PACKAGES=' + (args.packages ?: Stages.PACKAGES),
    ]
    Map inputs = args.inputs ?: [:]
    List names = inputs.keySet().toList()
    for (int i = 0; i < names.size(); i++) {
        def value = inputs[names[i]]
        String text = value instanceof List ? value.join(',') : String.valueOf(value)
        found << definition.inputs[names[i]] + '=' + text
    }
    return found
}

private void withSecrets(Map args, Closure body) {
    if (args.credentials) {
        withCredentials(args.credentials) {
            body()
        }
        return
    }
    body()
}

private void runCommand(String name) {
    int status = 3
    for (int attempt = 0; status == 3 && attempt < 3; attempt++) { // 3: an outside system failed, safe to run again
        if (attempt > 0) {
            sleep(time: 30, unit: 'SECONDS')
        }
        status = sh(label: name, returnStatus: true, script: '''
            command -v pipegraft >/dev/null || python3 -m pip install --quiet $PIPEGRAFT_PACKAGES
            GIT_COMMIT="$(git rev-parse HEAD 2>/dev/null || printf '%s' "$GIT_COMMIT")"
            export GIT_COMMIT
            pipegraft run "$PIPEGRAFT_STAGE" ${PIPEGRAFT_ENVIRONMENT:+--env "$PIPEGRAFT_ENVIRONMENT"}
        ''')
    }
    if (status != 0) {
        error('pipegraft: ' + name + ' ended with exit code ' + status + ', see above')
    }
}

private List planned(Map args) {
    String printed = ''
    inWorkspace(args) {
        withEnv(['PIPEGRAFT_PACKAGES=' + (args.packages ?: Stages.PACKAGES)]) {
            printed = sh(label: 'plan', returnStdout: true, script: '''
                command -v pipegraft >/dev/null || python3 -m pip install --quiet $PIPEGRAFT_PACKAGES >&2
                pipegraft plan
            ''')
        }
    }
    List lines = printed.tokenize('\n')
    List ids = []
    for (int i = 0; i < lines.size(); i++) {
        ids << lines[i].tokenize(' ')[0]
    }
    return ids
}
