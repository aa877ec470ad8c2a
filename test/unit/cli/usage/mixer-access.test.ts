import { join } from 'node:path'
import { type Test, test } from 'tap'
import { findMixer, type MixerAccess } from '../../../../src/cli/usage/mixer-access.ts'

interface Found {
  readonly access: MixerAccess | undefined
  readonly stderr: string
  readonly exitCode: number | string | null | undefined
}

function find(t: Test, env: NodeJS.ProcessEnv, config?: string): Found {
  const written = t.capture(process.stderr, 'write', () => true)
  const access = findMixer(config, env)
  const { exitCode } = process
  process.exitCode = undefined
  const stderr = written()
    .map(({ args }) => String(args[0]))
    .join('')
  written.restore()
  return { access, stderr, exitCode }
}

await test('the environment names the mixer', async t => {
  const env = { AMT_MIXER_URL: 'http://mixer:9092', AMT_MIXER_TOKEN: 'token' }
  t.same(find(t, env).access, { url: 'http://mixer:9092', token: 'token' })
  t.same(find(t, { AMT_MIXER_TOKEN: 'token' }).access, {
    url: 'http://127.0.0.1:9092',
    token: 'token',
  })
})

await test('the state folder of `amt up` names the mixer', async t => {
  const AMT_STATE = t.testdir({
    'mixer.token': 'a-token-of-this-state',
    'server.crt': '',
    'server.key': '',
    'ca.crt': '',
    'jwks.json': '',
    'acme.apikey.sha256': `sha256:${'a'.repeat(64)}`,
    'globex.apikey.sha256': `sha256:${'b'.repeat(64)}`,
  })
  t.match(find(t, { AMT_STATE }), {
    access: { token: 'a-token-of-this-state' },
    exitCode: undefined,
    stderr: '',
  })
})

await test('what names no mixer is told, with exit code 2', async t => {
  const AMT_STATE = join(t.testdir({}), 'none')
  t.match(find(t, { AMT_STATE }), {
    access: undefined,
    exitCode: 2,
    stderr: /^amt usage: name the mixer: /,
  })
  const noUrl = find(t, { AMT_MIXER_URL: 'mixer', AMT_MIXER_TOKEN: 'token' })
  t.match(noUrl, { access: undefined, exitCode: 2, stderr: /^amt usage: AMT_MIXER_URL must be / })
  const missing = find(t, {}, join(t.testdir({}), 'missing.yaml'))
  t.match(missing, { access: undefined, exitCode: 2, stderr: /missing\.yaml/ })
})
