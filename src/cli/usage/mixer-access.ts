/** Where the mixer is and what opens it, for a command that reads from it. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { loadConfigOrReport } from '../configuration.ts'
import { packageRoot } from '../package-root.ts'

const DEFAULT_URL = 'http://127.0.0.1:9092'

export interface MixerAccess {
  readonly url: string
  readonly token: string
  /** PEM file of authorities for an https mixer; those of Node where it is left out. */
  readonly ca?: string | undefined
}

/**
 * From `config` if there is one, else from AMT_MIXER_TOKEN and AMT_MIXER_URL, else from what `amt up` has left in the state
 * folder. Undefined where none of them tells; the reason is then on stderr as that of `command`, and the exit code is set.
 */
export function findMixer(
  config: string | undefined,
  env: NodeJS.ProcessEnv,
  command = 'usage',
): MixerAccess | undefined {
  if (config !== undefined) return loadConfigOrReport(config, env)?.mixer
  if (env.AMT_MIXER_TOKEN) {
    const url = env.AMT_MIXER_URL || DEFAULT_URL
    if (/^https?:$/.test(URL.parse(url)?.protocol ?? '')) return { url, token: env.AMT_MIXER_TOKEN }
    return refuse(command, 'AMT_MIXER_URL must be an http or https URL')
  }
  const state = resolve(env.AMT_STATE || 'state')
  const example = packageRoot('config.example.yaml')
  if (existsSync(state) && existsSync(example))
    return loadConfigOrReport(example, { ...env, AMT_STATE: state })?.mixer
  return refuse(
    command,
    'name the mixer: with --config FILE, or with AMT_MIXER_URL and AMT_MIXER_TOKEN, or run it where `amt up` runs',
  )
}

function refuse(command: string, reason: string): undefined {
  process.stderr.write(`amt ${command}: ${reason}\n`)
  process.exitCode = 2
}
