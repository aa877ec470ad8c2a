/** Who calls, by the process behind the source port: real processes on loopback addresses. */
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { t } from 'tap'
import { type DeploymentCall, startDeployment } from '../support/identity/deployment.ts'
import { lies } from '../support/identity/lies.ts'
import { register } from '../support/identity/register.ts'
import { tenant } from '../support/registry/registrations.ts'
import { startMixer, TOKEN } from '../support/start-mixer.ts'

t.setTimeout(120_000)
const skip = existsSync('/proc/net/tcp') ? false : 'no /proc/net/tcp: this is no Linux'

const AS_ACME = { tenant: 'acme', deployment: 'notes/acme', recoveredBy: 'process' }
const AS_BETA = { ...AS_ACME, tenant: 'beta', deployment: 'notes/beta' }
const NOBODY = { type: 'about:amt/unidentified_source', status: 403 }

function endpoint(port: number | undefined, host = '127.0.0.1'): { endpoints: string[] } {
  return { endpoints: [`http://${host}:${port}`] }
}

await t.test('a deployment is known by the endpoint that it listens at', { skip }, async t => {
  const mixer = await startMixer(t)
  const whoami = { url: `${mixer.url}/v1/whoami` }
  const acme = await startDeployment(t, { listen: [['127.0.0.1', 0]] })
  const beta = await startDeployment(t, { listen: [['0.0.0.0', 0]] })
  await register(mixer, [
    tenant('acme', endpoint(acme.ports[0])),
    tenant('beta', endpoint(beta.ports[0], 'localhost')),
  ])
  t.same(await acme.call(whoami), { status: 200, body: AS_ACME })
  t.same(await acme.call(whoami), { status: 200, body: AS_ACME }, 'on the same connection')
  t.same(await beta.call(whoami), { status: 200, body: AS_BETA })

  await t.test('and so are processes that it starts', async t => {
    t.same(await acme.call({ ...whoami, by: 'child' }), { status: 200, body: AS_ACME })
  })

  await t.test('whatever a call claims', async t => {
    for (const { name, headers, query = '' } of lies('beta')) {
      const call: DeploymentCall = { url: whoami.url + query, headers }
      t.same(await acme.call(call), { status: 200, body: AS_ACME }, name)
    }
  })

  await t.test('whatever a body claims: the charge is that of the source', async t => {
    const charge = { id: 'charge-1', event: 'page', quantity: '3', tenant: 'beta' }
    const call = (headers: Record<string, string>): DeploymentCall => ({
      url: `${mixer.url}/v1/charges`,
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(charge),
    })
    t.match(await acme.call(call({})), { status: 200, body: { tenant: 'acme', quantity: '3' } })
    t.match(await acme.call(call({ 'x-amt-tenant': 'beta' })), { body: { tenant: 'acme' } })
    t.match(await acme.call(call({ authorization: 'Bearer beta' })), { status: 401 })
    const stranger = await startDeployment(t)
    t.match(await stranger.call(call({})), { status: 403, body: NOBODY })
    const sums = await fetch(`${mixer.url}/v1/charges`, {
      headers: { authorization: `Bearer ${TOKEN}` },
    })
    t.match(await sums.json(), { windows: [{ tenant: 'acme', charges: 1, quantity: '3' }] })
  })

  await t.test('and nobody else is', async t => {
    const stranger = await startDeployment(t, { listen: [['127.0.0.1', 0]] })
    t.match(await stranger.call(whoami), { status: 403, body: NOBODY })
    for (const { name, headers } of lies('acme'))
      t.match(await stranger.call({ ...whoami, headers }), { status: 403, body: NOBODY }, name)
    t.match(await (await fetch(whoami.url)).json(), NOBODY, 'not this very process')
    const metrics = await (await fetch(`${mixer.url}/metrics`)).text()
    t.match(metrics, /amt_mixer_identified_total\{by="process"\} [1-9]/)
    t.match(metrics, /amt_mixer_unidentified_total\{reason="unknown"\} [1-9]/)
    t.match(metrics, /amt_mixer_registered_tenants 2\n/)
  })
})

await t.test('a process that listens for two deployments is neither', { skip }, async t => {
  const mixer = await startMixer(t)
  const both = await startDeployment(t, {
    listen: [
      ['127.0.0.1', 0],
      ['127.0.0.2', 0],
    ],
  })
  await register(mixer, [
    tenant('acme', endpoint(both.ports[0])),
    tenant('beta', endpoint(both.ports[1], '127.0.0.2')),
  ])
  const answer = await both.call({ url: `${mixer.url}/v1/whoami` })
  t.match(answer, { status: 403, body: NOBODY })
  t.notMatch(JSON.stringify(answer), /acme|beta/, 'the answer tells nothing of tenants')
  t.match(mixer.log(), /"reason":"ambiguous".*"acme"/)
})

await t.test('one endpoint of two deployments shows neither', { skip }, async t => {
  const mixer = await startMixer(t)
  const shared = await startDeployment(t, { listen: [['127.0.0.1', 0]] })
  await register(mixer, [
    tenant('acme', endpoint(shared.ports[0])),
    tenant('beta', endpoint(shared.ports[0])),
  ])
  t.match(await shared.call({ url: `${mixer.url}/v1/whoami` }), { status: 403, body: NOBODY })
})

await t.test('what is known follows the registry, also on one connection', { skip }, async t => {
  const mixer = await startMixer(t)
  const whoami = { url: `${mixer.url}/v1/whoami` }
  const acme = await startDeployment(t, { listen: [['127.0.0.1', 0]] })
  await register(mixer, [tenant('acme', endpoint(acme.ports[0]))])
  t.match(await acme.call(whoami), { status: 200 })
  await register(mixer, [tenant('acme', { ...endpoint(acme.ports[0]), disabled: true })])
  t.match(await acme.call(whoami), { status: 403, body: { type: 'about:amt/tenant_disabled' } })
  await register(mixer, [tenant('beta', endpoint(acme.ports[0]))])
  t.match(await acme.call(whoami), { status: 200, body: AS_BETA })
  await register(mixer, [])
  t.match(await acme.call(whoami), { status: 403, body: NOBODY })
})

await t.test('IPv6 and IPv4-mapped connections are found as well', { skip }, async t => {
  const mixer = await startMixer(t, { host: '::' })
  const acme = await startDeployment(t, { listen: [['::1', 0]] })
  const { port } = mixer
  await register({ url: `http://127.0.0.1:${port}` }, [
    tenant('acme', endpoint(acme.ports[0], '[::1]')),
  ])
  for (const host of ['127.0.0.1', '[::1]', '[::ffff:127.0.0.1]'])
    t.same(
      await acme.call({ url: `http://${host}:${port}/v1/whoami` }),
      { status: 200, body: AS_ACME },
      host,
    )
})

await t.test('a caller that does not wait is nobody, and hurts nobody', { skip }, async t => {
  const mixer = await startMixer(t)
  const acme = await startDeployment(t, { listen: [['127.0.0.1', 0]] })
  await register(mixer, [tenant('acme', endpoint(acme.ports[0]))])
  for (let round = 0; round < 20; round++) {
    const socket = connect(mixer.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write('GET /v1/whoami HTTP/1.1\r\nHost: x\r\n\r\n', () => socket.resetAndDestroy())
  }
  t.match(await acme.call({ url: `${mixer.url}/v1/whoami` }), { status: 200, body: AS_ACME })
})

await t.test('many callers at once share a look', { skip }, async t => {
  const mixer = await startMixer(t)
  const acme = await startDeployment(t, { listen: [['127.0.0.1', 0]] })
  await register(mixer, [tenant('acme', endpoint(acme.ports[0]))])
  const whoami = `${mixer.url}/v1/whoami`
  const answers = await Promise.all(
    Array.from(
      { length: 50 },
      async () => (await fetch(whoami, { headers: { connection: 'close' } })).status,
    ),
  )
  t.same(new Set(answers), new Set([403]))
  const metrics = await (await fetch(`${mixer.url}/metrics`)).text()
  const looks = Number(/amt_mixer_process_look_seconds_count (\d+)/.exec(metrics)?.[1])
  t.ok(looks >= 1 && looks <= 10, `${looks} looks for 50 connections`)
})
