// What the steps know of the stages. Generated from their definitions by `pipegraft templates`.
package io.pipegraft

class Stages implements Serializable {
    static final long serialVersionUID = 1L

    /** Arguments that every step takes. */
    static final List ARGUMENTS = [
        'environment',
        'inputs',
        'agent',
        'image',
        'options',
        'dockerHost',
        'directory',
        'packages',
        'credentials',
        'branch',
        'timers',
        'timeout',
        'lock',
    ]

    /** Variables that are set where a change is built before it is merged. */
    static final List CHANGES = [
        'CHANGE_ID',
        'ghprbPullId',
        'gitlabMergeRequestIid',
        'gitlabMergeRequestId',
        'BITBUCKET_PULL_REQUEST_ID',
        'pullRequestId',
        'PULL_REQUEST_ID',
        'DIFF_ID',
    ]

    /** Causes of builds that nobody and no commit started. */
    static final List TIMERS = [
        'hudson.triggers.TimerTrigger$TimerTriggerCause',
        'org.jenkinsci.plugins.parameterizedscheduler.ParameterizedTimerTriggerCause',
    ]

    /** Stage → whether it changes what runs, whether it reports tests, and its inputs with the variable that sets each. */
    static final Map ALL = [
        'image-build': [deploys: false, tests: false, inputs: [
            'components': 'PIPEGRAFT_INPUT_IMAGE_BUILD_COMPONENTS',
            'jobs': 'PIPEGRAFT_INPUT_IMAGE_BUILD_JOBS',
            'force': 'PIPEGRAFT_INPUT_IMAGE_BUILD_FORCE',
            'tags': 'PIPEGRAFT_INPUT_IMAGE_BUILD_TAGS',
            'platform': 'PIPEGRAFT_INPUT_IMAGE_BUILD_PLATFORM',
            'resolve-bases': 'PIPEGRAFT_INPUT_IMAGE_BUILD_RESOLVE_BASES',
            'attest': 'PIPEGRAFT_INPUT_IMAGE_BUILD_ATTEST',
            'sign': 'PIPEGRAFT_INPUT_IMAGE_BUILD_SIGN',
        ]],
        'iac-bump': [deploys: true, tests: false, inputs: [
            'dry-run': 'PIPEGRAFT_INPUT_IAC_BUMP_DRY_RUN',
            'from': 'PIPEGRAFT_INPUT_IAC_BUMP_FROM',
            'config': 'PIPEGRAFT_INPUT_IAC_BUMP_CONFIG',
            'images': 'PIPEGRAFT_INPUT_IAC_BUMP_IMAGES',
            'verify': 'PIPEGRAFT_INPUT_IAC_BUMP_VERIFY',
            'deadline': 'PIPEGRAFT_INPUT_IAC_BUMP_DEADLINE',
        ]],
        'sync-gate': [deploys: true, tests: true, inputs: [
            'timeout': 'PIPEGRAFT_INPUT_SYNC_GATE_TIMEOUT',
        ]],
        'gray-release': [deploys: true, tests: false, inputs: [
            'no-wait': 'PIPEGRAFT_INPUT_GRAY_RELEASE_NO_WAIT',
            'resume': 'PIPEGRAFT_INPUT_GRAY_RELEASE_RESUME',
            'poll': 'PIPEGRAFT_INPUT_GRAY_RELEASE_POLL',
            'pause-timeout': 'PIPEGRAFT_INPUT_GRAY_RELEASE_PAUSE_TIMEOUT',
        ]],
    ]
}
