/** Who calls, by the source address: deployments in network namespaces of their own, which lie. */
import { t } from 'tap'
import { startDeployment } from '../support/identity/deployment.ts'
import { lies } from '../support/identity/lies.ts'
import { createNetwork, withoutNetworks } from '../support/identity/network.ts'
import { register } from '../support/identity/register.ts'
import { tenant } from '../support/registry/registrations.ts'
import { startMixer } from '../support/start-mixer.ts'

t.setTimeout(120_000)
const skip = withoutNetworks()
if (skip !== false) console.error(`SKIPPED: identity by source address: ${skip}`)

const AS_ACME = { tenant: 'acme', deployment: 'notes/acme', recoveredBy: 'address' }
const NOBODY = { type: 'about:amt/unidentified_source', status: 403 }

await t.test('a deployment is known by the address that it calls from', { skip }, async t => {
  const mixer = await startMixer(t, { host: '::' })
  const [one, two, other] = [createNetwork(t), createNetwork(t), createNetwork(t)]
  const acme = await startDeployment(t, one)
  const beta = await startDeployment(t, two)
  const stranger = await startDeployment(t, { ...other, listen: [['0.0.0.0', 80]] })
  await register(mixer, [
    tenant('acme', { endpoints: [`http://${one.there[0]}:80`] }),
    tenant('beta', { endpoints: ['http://192.0.2.9:80'], addresses: [`${two.there[0]}/32`] }),
  ])
  const whoami = (network: { here: string }, query = ''): string =>
    `http://${network.here}:${mixer.port}/v1/whoami${query}`

  t.same(await acme.call({ url: whoami(one) }), { status: 200, body: AS_ACME })
  t.same(await beta.call({ url: whoami(two) }), {
    status: 200,
    body: { ...AS_ACME, tenant: 'beta', deployment: 'notes/beta' },
  })
  t.match(await stranger.call({ url: whoami(other) }), { status: 403, body: NOBODY })

  await t.test('whatever it claims', async t => {
    for (const { name, headers, query } of [
      ...lies('beta'),
      { name: 'its address', headers: { 'x-forwarded-for': two.there[0] ?? '' }, query: '' },
    ])
      t.same(
        await acme.call({ url: whoami(one, query), headers }),
        { status: 200, body: AS_ACME },
        name,
      )
    for (const { name, headers, query } of lies('acme'))
      t.match(
        await stranger.call({ url: whoami(other, query), headers }),
        { status: 403, body: NOBODY },
        name,
      )
  })

  await t.test('an address of two deployments is that of neither', async t => {
    await register(mixer, [
      tenant('acme', { endpoints: [`http://${one.there[0]}:80`] }),
      tenant('beta', { endpoints: [`http://${one.there[0]}:81`] }),
    ])
    t.match(await acme.call({ url: whoami(one) }), { status: 403, body: NOBODY })
    await register(mixer, [
      tenant('acme', { endpoints: [`http://${one.there[0]}:80`] }),
      tenant('beta', { endpoints: [], addresses: ['198.18.0.0/15'] }),
    ])
    t.match(await acme.call({ url: whoami(one) }), { status: 403, body: NOBODY }, 'also by a block')
  })
})

await t.test('an address of this machine shows no deployment', { skip }, async t => {
  const mixer = await startMixer(t, { host: '0.0.0.0' })
  const network = createNetwork(t)
  await register(mixer, [tenant('acme', { endpoints: [`http://${network.here}:80`] })])
  const url = `http://${network.here}:${mixer.port}/v1/whoami`
  // From this very process, whose source address is the one that is registered.
  t.match(await (await fetch(url)).json(), NOBODY)
  t.match(
    mixer.log(),
    new RegExp(`"address":"${network.here.replaceAll('.', '\\.')}".*"process":\\[\\]`),
  )
})

await t.test('of two addresses of one machine each shows its own deployment', { skip }, async t => {
  const mixer = await startMixer(t, { host: '0.0.0.0' })
  const network = createNetwork(t, 2)
  const [first = '', second = ''] = network.there
  await register(mixer, [
    tenant('acme', { endpoints: [`http://${first}:80`] }),
    tenant('beta', { endpoints: [`http://${second}:80`] }),
  ])
  const url = `http://${network.here}:${mixer.port}/v1/whoami`
  const machine = await startDeployment(t, network)
  t.match(await machine.call({ url, localAddress: first }), { body: { tenant: 'acme' } })
  t.match(await machine.call({ url, localAddress: second }), { body: { tenant: 'beta' } })
})
