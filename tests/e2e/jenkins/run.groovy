// Runs a Jenkinsfile with JenkinsPipelineUnit: steps are recorded, and `sh` really runs in a shell.
//
// usage: groovy run.groovy REQUEST.json; REQUEST holds
//   cps        whether the scripts run as continuations, as they do in Jenkins
//   library    folder of the library, named pipegraft@VERSION
//   steps      folder of the steps that these tests add
//   folder     the workspace; the Jenkinsfile lies in it
//   env        variables of the build
//   path       PATH of the shell
// It prints a JSON document: the steps called, and the error the build ended with.
import static com.lesfurets.jenkins.unit.global.lib.LibraryConfiguration.library
import static com.lesfurets.jenkins.unit.global.lib.LocalSource.localSource

import com.lesfurets.jenkins.unit.BasePipelineTest
import com.lesfurets.jenkins.unit.cps.BasePipelineTestCPS
import groovy.json.JsonOutput
import groovy.json.JsonSlurper

Map request = new JsonSlurper().parse(new File(args[0]))
World world = World.THE
world.folder = request.folder
world.path = request.path
world.env.putAll(request.env)
def test = request.cps ? new BasePipelineTestCPS() : new BasePipelineTest() { }
test.scriptRoots = [request.folder] as String[]
test.baseScriptRoot = '/'
test.scriptExtension = ''
test.setUp()
test.helper.@allowedMethodCallbacks.keySet().removeAll { it.name in ['node', 'withEnv'] } // ours are steps
def load = { String name, String folder, boolean implicit ->
    test.helper.registerSharedLibrary(library().name(name).retriever(localSource(folder)).targetPath(folder)
        .defaultVersion('1').allowOverride(true).implicit(implicit).build())
}
load('pipegraft', request.library, false)
load('steps', request.steps, true)
test.binding.setVariable('world', world)
test.binding.setVariable('env', world.env)
List started = request.upstream ? [new Run(currentResult: 'SUCCESS', causes: request.upstream)] : []
test.binding.setVariable('currentBuild',
    new Run(currentResult: request.result ?: null, causes: request.causes ?: [], upstreamBuilds: started))
test.binding.setVariable('scm', request.branches == null ? [:] : [branches: request.branches.collect { [name: it] }])
['any', 'none'].each { test.binding.setVariable(it, it) }
def allow = { String name, List types, Closure work = null ->
    test.helper.registerAllowedMethod(name, types, work)
}
['pipeline', 'stages', 'steps', 'options', 'post', 'always', 'failure', 'script', 'matrix', 'axes', 'axis',
 'environment', 'timestamps'].each { allow(it, [Closure]) }
['lock', 'timeout'].each { name -> allow(name, [Map, Closure]) }
allow('dir', [String, Closure])
allow('parallel', [Map])
allow('withCredentials', [List, Closure])
['agent', 'name', 'values', 'checkout'].each { name -> allow(name, [Object]) { world.record(name, [it]) } }
['stash', 'archiveArtifacts', 'sleep'].each { name -> allow(name, [Map]) { world.record(name, [it]) } }
['echo', 'unstash'].each { name -> allow(name, [String]) { world.record(name, [it]) } }
allow('junit', [Map]) {
    if (world.env.WITHOUT_JUNIT) {
        throw new NoSuchMethodError("No such DSL method 'junit' found among steps") // as Jenkins does
    }
    world.record('junit', [it])
}
allow('timestamps', [])
allow('milestone', []) { world.record('milestone', []) }
allow('error', [String]) { throw new IllegalStateException(it) }
allow('sh', [Map]) { world.sh(it) }
allow('sh', [String]) { world.sh([script: it]) }
allow('string', [Map]) { it }

String error = ''
PrintStream out = System.out
System.out = System.err
try {
    test.runScript('Jenkinsfile')
} catch (Throwable caught) {
    caught.printStackTrace()
    File said = new File(request.folder, '.stderr')
    error = caught.class.simpleName + ': ' + caught.message + (said.exists() ? '\n' + said.text : '')
}
List stack = test.helper.callStack.collect { call ->
    [name: call.methodName, depth: call.stackDepth, args: call.args.findAll { !(it instanceof Closure) }*.toString()]
}
out.println(JsonOutput.toJson([calls: world.calls, stack: stack, error: error]))
out.flush()
System.exit(0)
