// pipegraft: runs the stages of a delivery.
//
// Generated from the definitions of the stages by `pipegraft templates`. Documentation: docs/jenkins.md
//
// Needs on the agent: pipegraft, or Python 3.11 with pip and `packages`; git; and what each stage's step says.
// Needs in Jenkins: the plugins Pipeline, Git, Lockable Resources and Pipeline: Milestone Step;
// Docker Pipeline where `image` is given, Credentials Binding where `credentials` are.
//
// Values reach the shell as variables, never as part of a command. What is known between two stages
// lies in git and in .pipegraft/release.json, never here: a build goes on after a restart.
import io.pipegraft.Stages

/** Runs the stages of the plan one after another; see pipegraft.txt. */
def call(Map args = [:]) {
    if (!delivers('the delivery', args)) {
        return
    }
    List ids = ofEnvironment(args, args.stages ?: planned(args))
    Map inputs = args.inputs ?: [:]
    Map common = args - args.subMap(['stages', 'inputs', 'environment'])
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
    if (!delivers(name, args)) {
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

/** Of some planned stages those of the environment asked for, and the application's own. */
private List ofEnvironment(Map args, List ids) {
    if (!args.environment) {
        return ids
    }
    List kept = []
    boolean found = false
    for (int i = 0; i < ids.size(); i++) {
        List parts = ids[i].tokenize(':')
        boolean fits = parts.size() > 1 && parts[1] == args.environment
        if (parts.size() > 1 && !fits && args.stages) {
            error('pipegraft: ' + ids[i] + ' is not of the environment ' + args.environment)
        }
        found = found || fits
        if (fits || parts.size() == 1) {
            kept << ids[i]
        }
    }
    if (!found && !args.stages) {
        error('pipegraft: delivery.yaml has no environment called ' + args.environment)
    }
    return kept
}

private void check(String name, Map definition, Map args) {
    if (definition == null) {
        error('pipegraft: there is no stage called ' + name + '; there are: ' + Stages.ALL.keySet().join(', '))
    }
    List unknown = (args.keySet() - Stages.ARGUMENTS).toList()
    if (unknown) {
        error('pipegraft: ' + name + ' has no argument ' + unknown[0] + '; there are: ' + Stages.ARGUMENTS.join(', '))
    }
    List names = (args.inputs ?: [:]).keySet().toList()
    for (int i = 0; i < names.size(); i++) {
        if (!definition.inputs.containsKey(String.valueOf(names[i]))) {
            error('pipegraft: ' + name + ' has no input ' + names[i] + '; there are: ' + definition.inputs.keySet().join(', '))
        }
    }
}

/** Whether this build delivers; where it does not, the log says why. */
private boolean delivers(String what, Map args) {
    String reason = held(args)
    if (reason) {
        echo('pipegraft: ' + what + ' does not run: ' + reason)
    }
    return !reason
}

/** Why this build must not deliver, empty if it may: only a good build of the delivered branch does. */
private String held(Map args) {
    String result = currentBuild.currentResult
    if (result && result != 'SUCCESS') {
        return 'the build is ' + result + ' so far'
    }
    String request = changeRequest()
    if (request) {
        return 'the build is of a change that is not merged, says ' + request
    }
    if (env.TAG_NAME) {
        return 'the build is of a tag'
    }
    if (!args.timers && timed()) {
        return 'a timer started the build; timers: true lets it deliver'
    }
    return otherBranch(args)
}

/** The variable by which Jenkins or a plugin says that a change is built before it is merged, empty if none does. */
private String changeRequest() {
    for (int i = 0; i < Stages.CHANGES.size(); i++) {
        if (env[Stages.CHANGES[i]]) {
            return Stages.CHANGES[i]
        }
    }
    if (env.gitlabActionType && env.gitlabActionType != 'PUSH') {
        return 'gitlabActionType'
    }
    if (env.GERRIT_EVENT_TYPE && !(env.GERRIT_EVENT_TYPE in ['change-merged', 'ref-updated'])) {
        return 'GERRIT_EVENT_TYPE'
    }
    return ''
}

/** Whether nothing but a timer started the build, or the one that started it. */
private boolean timed() {
    List builds = [currentBuild] + (currentBuild.upstreamBuilds ?: [])
    for (int i = 0; i < builds.size(); i++) {
        List causes = builds[i].getBuildCauses()
        int timers = 0
        for (int j = 0; j < causes.size(); j++) {
            timers += causes[j]._class in Stages.TIMERS ? 1 : 0
        }
        if (timers > 0 && timers == causes.size()) {
            return true
        }
    }
    return false
}

/** Why the branch of this build is not the delivered one, empty if it is. */
private String otherBranch(Map args) {
    String branch = env.BRANCH_NAME ?: checkedOut()
    if (env.BRANCH_NAME && !args.branch) {
        return env.BRANCH_IS_PRIMARY == 'true' ? '' : branch + ' is not the primary branch; branch: \'NAME\' delivers another'
    }
    String wanted = args.branch ?: declared()
    if (!wanted) {
        error('pipegraft: this job may build any branch: name the one to deliver with branch: \'NAME\'')
    }
    if (!branch) {
        error('pipegraft: nothing says which branch this build is of, and only ' + wanted + ' is delivered: '
            + 'let the job check out its branch before delivery, or build it by a multibranch job')
    }
    return branch == wanted ? '' : 'the build is of ' + branch + ', and ' + wanted + ' is delivered'
}

/** The branch that a plain job has built, as the Git plugin, the trigger or the workspace tells it; null if none does. */
private String checkedOut() {
    String told = env.GIT_LOCAL_BRANCH ?: shortName(env.GIT_BRANCH) ?: declared()
    told = told ?: shortName(env.GERRIT_BRANCH ?: env.GERRIT_REFNAME ?: env.gitlabBranch)
    if (told || !env.WORKSPACE) {
        return told
    }
    return sh(label: 'branch', returnStdout: true, script: '''
        git symbolic-ref -q --short HEAD 2>/dev/null || true
    ''').trim() ?: null
}

/** The one branch that a plain job is configured to build; null if it builds several, or nothing tells. */
private String declared() {
    try {
        List branches = scm.branches
        return branches && branches.size() == 1 ? shortName(branches[0].name) : null
    } catch (Exception none) { // no SCM, or one that has no branches
        return null
    }
}

/** A branch's name without what Git and Jenkins write before it; null for a pattern, a parameter or a commit. */
private String shortName(String written) {
    if (!written) {
        return null
    }
    String name = written
    List leads = ['refs/heads/', 'refs/remotes/', '*/', 'origin/']
    for (int i = 0; i < leads.size(); i++) {
        name = name.startsWith(leads[i]) ? name.substring(leads[i].length()) : name
    }
    return name.contains('*') || name.contains('$') || name.startsWith(':') || name in ['HEAD', 'detached'] ? null : name
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
        docker.image(args.image).inside(args.options ?: '') {
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
        'PIPEGRAFT_PACKAGES=' + (args.packages ?: ''),
    ]
    if (args.dockerHost) {
        found << 'DOCKER_HOST=' + args.dockerHost
    }
    Map inputs = args.inputs ?: [:]
    List names = inputs.keySet().toList()
    for (int i = 0; i < names.size(); i++) {
        String text = written(inputs.get(names[i])) // as it is: an index would make a GString a String
        if (text != null) {
            found << definition.inputs[String.valueOf(names[i])] + '=' + text
        }
    }
    return found
}

/** An input's value as text; null where the call gives none. */
private String written(Object value) {
    if (value == null) {
        return null
    }
    if (value instanceof Map) {
        error('pipegraft: expected text, a number, true, false or a list as an input, found a map')
    }
    if (!(value instanceof List)) {
        return String.valueOf(value)
    }
    List items = []
    for (int i = 0; i < value.size(); i++) {
        if (value[i] != null) {
            items << String.valueOf(value[i])
        }
    }
    return items.join(',')
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
            if ! command -v pipegraft >/dev/null; then
              case " $PIPEGRAFT_PACKAGES" in
                " ")
                  echo "pipegraft is not installed here: name an image that has it, or what pip installs (the arguments image and packages)" >&2
                  exit 2 ;;
                *://* | *" -"* | *" /"* | *" ./"*) ;;
                *)
                  if [ -z "$PIP_INDEX_URL" ]; then
                    echo "'$PIPEGRAFT_PACKAGES' names no index, wheel or list of requirements to come from (the arguments image and packages)" >&2
                    exit 2
                  fi ;;
              esac
              PIPEGRAFT_INSTALLED="$(mktemp -d)"
              trap 'rm -rf "$PIPEGRAFT_INSTALLED"' EXIT
              python3 -I -m pip install -q --target "$PIPEGRAFT_INSTALLED" $PIPEGRAFT_PACKAGES || exit 3
              export PYTHONPATH="$PIPEGRAFT_INSTALLED" PATH="$PIPEGRAFT_INSTALLED/bin:$PATH"
            fi
            case "$(pipegraft --version)" in
              *" 0.2."*) ;;
              *) echo "made for pipegraft 0.2, found: $(pipegraft --version)" >&2; exit 2 ;;
            esac
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
        withEnv(['PIPEGRAFT_PACKAGES=' + (args.packages ?: '')]) {
            printed = sh(label: 'plan', returnStdout: true, script: '''
                if ! command -v pipegraft >/dev/null; then
                  case " $PIPEGRAFT_PACKAGES" in
                    " ")
                      echo "pipegraft is not installed here: name an image that has it, or what pip installs (the arguments image and packages)" >&2
                      exit 2 ;;
                    *://* | *" -"* | *" /"* | *" ./"*) ;;
                    *)
                      if [ -z "$PIP_INDEX_URL" ]; then
                        echo "'$PIPEGRAFT_PACKAGES' names no index, wheel or list of requirements to come from (the arguments image and packages)" >&2
                        exit 2
                      fi ;;
                  esac
                  PIPEGRAFT_INSTALLED="$(mktemp -d)"
                  trap 'rm -rf "$PIPEGRAFT_INSTALLED"' EXIT
                  python3 -I -m pip install -q --target "$PIPEGRAFT_INSTALLED" $PIPEGRAFT_PACKAGES || exit 3
                  export PYTHONPATH="$PIPEGRAFT_INSTALLED" PATH="$PIPEGRAFT_INSTALLED/bin:$PATH"
                fi
                case "$(pipegraft --version)" in
                  *" 0.2."*) ;;
                  *) echo "made for pipegraft 0.2, found: $(pipegraft --version)" >&2; exit 2 ;;
                esac
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
