import { test } from 'tap'
import { MAX_TENANTS_PER_REGISTRATION } from '../../src/contracts/registration.ts'
import { announcement, registration, tenant } from '../support/registry/registrations.ts'
import { startMixer, TOKEN } from '../support/start-mixer.ts'

async function post(
  url: string,
  body: unknown,
  authorization = `Bearer ${TOKEN}`,
): Promise<{ status: number; json: Record<string, unknown> }> {
  const response = await fetch(`${url}/v1/registration`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization },
    body: JSON.stringify(body),
  })
  return { status: response.status, json: (await response.json()) as Record<string, unknown> }
}

await test('a registration is answered with what is missing, until nothing is', async t => {
  const { url } = await startMixer(t)
  const whole = registration(7, [[tenant('acme')], [tenant('beta')]])
  const common = { proxy: 'proxy-1', generation: 7 }
  t.same((await post(url, announcement(whole))).json, { ...common, missing: whole.pages })
  t.same((await post(url, whole)).json, { ...common, missing: [] })
  t.same((await post(url, announcement(whole))).json, { ...common, missing: [] })
  t.same((await post(url, { ...whole, generation: 6 })).json, { ...common, missing: [] })
  const metrics = await (await fetch(`${url}/metrics`)).text()
  t.match(metrics, /amt_mixer_registered_proxies 1\n/)
  t.match(metrics, /amt_mixer_registered_tenants 2\n/)
})

await test('nobody registers without the token', async t => {
  const { url } = await startMixer(t)
  for (const authorization of ['', 'Bearer wrong', `Basic ${TOKEN}`])
    t.equal((await post(url, registration(1, [[tenant('acme')]]), authorization)).status, 401)
  t.match(await (await fetch(`${url}/metrics`)).text(), /amt_mixer_registered_proxies 0\n/)
})

await test('a registration that is wrong is refused, says where, and changes nothing', async t => {
  const { url } = await startMixer(t)
  const good = registration(1, [[tenant('acme')]])
  const content = (tenants: unknown[]): unknown => [{ digest: good.pages[0], tenants }]
  const many = Array.from({ length: MAX_TENANTS_PER_REGISTRATION + 1 }, () => ({
    id: 'a',
    endpoints: [],
  }))
  const cases: readonly [string, unknown, RegExp][] = [
    ['nothing', null, /expected object/],
    ['no name', { ...good, proxy: '' }, /^proxy/],
    ['a generation of the far future', { ...good, generation: 2 ** 60 }, /^generation/],
    ['a digest that is none', { ...good, pages: ['x'] }, /^pages\.0/],
    ['too many pages', { ...good, pages: Array(4_097).fill(good.pages[0]) }, /^pages/],
    [
      'a tenant that is none',
      { ...good, content: content([{ id: '../x', endpoints: [] }]) },
      /^content\.0\.tenants\.0\.id/,
    ],
    [
      'an address that is none',
      { ...good, content: content([{ id: 'a', endpoints: [], addresses: ['a'] }]) },
      /addresses\.0/,
    ],
    ['something more', { ...good, tenant: 'acme' }, /tenant/],
    ['too many tenants', { ...good, content: content(many) }, /^content.*10000/],
    ['a false digest', { ...good, content: content([tenant('beta')]) }, /^content\[0\]\.digest/],
  ]
  for (const [name, body, message] of cases) {
    const { status, json } = await post(url, body)
    t.equal(status, 400, name)
    t.match(json, { type: 'about:amt/malformed_message', problems: [message] }, name)
  }
  const large = { ...good, proxy: 'x'.repeat(9 * 1024 * 1024) }
  t.match(await post(url, large).catch(() => ({ status: 413 })), { status: 413 })
  t.match(await (await fetch(`${url}/metrics`)).text(), /amt_mixer_registered_proxies 0\n/)
})
