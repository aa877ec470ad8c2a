/** Quotas as clients meet them, at a worker whose mixer is in the test. */
import type { Test } from 'tap'
import type { QuotaAsk } from '../../src/proxy/ipc.ts'
import type { ManualDeployment } from '../support/manual-deployment.ts'
import type { Peer } from '../support/peer.ts'
import {
  codeOf,
  eventually,
  fieldsOf,
  get,
  ok,
  type ProxyLab,
  proxyTest,
  readAnswer,
  tenant,
} from '../support/proxy-lab.ts'
import type { RunningProxy } from '../support/start-proxy.ts'

type Mixer = 'well' | 'slow' | 'away'

/** Gives what there is, of each quota by its name. */
class FakeMixer {
  readonly left = new Map<string, number>()
  behaviour: Mixer = 'well'
  asks: QuotaAsk[] = []
  proxy: RunningProxy | undefined

  take(asks: readonly QuotaAsk[]): void {
    this.asks.push(...asks)
    if (this.behaviour === 'slow') return
    this.answer()
  }

  answer(resetInMs = 30_000): void {
    const answers = this.asks.splice(0).map(({ id, quota, amount }) => {
      if (this.behaviour === 'away') return { id, failed: 'away' } as const
      const left = this.left.get(quota) ?? 0
      const granted = Math.min(amount, left)
      this.left.set(quota, left - granted)
      return {
        id,
        granted,
        remaining: left - granted,
        resetAt: Date.now() + resetInMs,
        resetInMs,
      }
    })
    this.proxy?.worker.quotaAnswers(answers)
  }
}

interface Started {
  readonly proxy: RunningProxy
  readonly mixer: FakeMixer
  readonly deployment: ManualDeployment
}

async function answering(peer: Peer): Promise<void> {
  try {
    for (;;) {
      await peer.readHead()
      await peer.send(ok())
    }
  } catch {
    // The proxy has closed it.
  }
}

async function started(
  lab: ProxyLab,
  quotas: Record<string, unknown>[],
  more: Record<string, unknown> = {},
): Promise<Started> {
  const deployment = await lab.deployment({ serve: answering })
  const mixer = new FakeMixer()
  for (const { name, amount } of quotas) mixer.left.set(String(name), Number(amount))
  const proxy = await lab.proxy(
    { tenants: [tenant('acme', deployment, { quotas }), tenant('globex', deployment)], ...more },
    { askQuota: asks => mixer.take(asks) },
  )
  mixer.proxy = proxy
  return { proxy, mixer, deployment }
}

async function ask(client: Peer, request = get()): Promise<number> {
  await client.send(request)
  return (await readAnswer(client)).status
}

async function refused(t: Test, client: Peer, request = get()): Promise<string> {
  await client.send(request)
  const answer = await readAnswer(client)
  t.equal(answer.status, 429)
  return codeOf(answer.body)
}

const TEN = { name: 'calls', of: 'calls', amount: 10, per: 'minute' }

await proxyTest('ten calls a minute are ten, then 429 until the minute ends', async (t, lab) => {
  const { proxy } = await started(lab, [TEN])
  const client = await lab.client(proxy)
  for (let call = 0; call < 10; call += 1) t.equal(await ask(client), 200)
  await client.send(get())
  const answer = await readAnswer(client)
  t.equal(answer.status, 429)
  const problem = JSON.parse(answer.body) as { type: string; resetAt: string }
  t.equal(problem.type, 'about:amt/quota_exhausted')
  const [retryAfter] = fieldsOf(answer.head, 'retry-after').map(Number)
  t.ok(retryAfter !== undefined && retryAfter > 0 && retryAfter <= 30, `${retryAfter} s`)
  const until = Date.parse(problem.resetAt) - Date.now()
  t.ok(until > 0 && until <= 30_000, `${until} ms`)
  t.equal(await ask(client, get().replace('acme', 'globex')), 200, 'another tenant goes on')
  t.equal(proxy.rejected('quota_exhausted'), 1)
  t.equal(proxy.limited()['quota'], 1)
  t.equal(proxy.totals(record => record.tenant === 'acme').calls, 10, 'the refused one is no usage')
})

await proxyTest('a slow mixer holds no call up, and lets no more through', async (t, lab) => {
  const { proxy, mixer } = await started(lab, [TEN])
  mixer.behaviour = 'slow'
  const client = await lab.client(proxy)
  for (let call = 0; call < 10; call += 1) t.equal(await ask(client), 200)
  t.equal(await refused(t, client), 'quota_exhausted')
  mixer.behaviour = 'well'
  mixer.answer()
  await eventually(() => mixer.left.get('calls') === 0)
  t.equal(mixer.left.get('calls'), 0, 'the debt is taken')
})

await proxyTest('a window that ends lets calls through again', async (t, lab) => {
  const { proxy, mixer } = await started(lab, [{ ...TEN, amount: 1 }])
  mixer.behaviour = 'slow'
  const client = await lab.client(proxy)
  t.equal(await ask(client), 200)
  await eventually(() => mixer.asks.length > 0)
  mixer.answer(100)
  t.equal(await refused(t, client), 'quota_exhausted')
  mixer.left.set('calls', 1)
  let status = 429
  const deadline = performance.now() + 5_000
  while (status === 429 && performance.now() < deadline) {
    status = await ask(client)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  t.equal(status, 200)
})

await proxyTest('open: without a mixer calls pass, and are counted', async (t, lab) => {
  const { proxy, mixer } = await started(lab, [TEN])
  mixer.behaviour = 'away'
  const client = await lab.client(proxy)
  t.equal(await ask(client), 200)
  await new Promise(resolve => setImmediate(resolve))
  for (let call = 0; call < 20; call += 1) t.equal(await ask(client), 200)
  proxy.usage()
  const opened = proxy.reports().reduce((sum, { quotaOpened }) => sum + quotaOpened, 0)
  t.ok(opened >= 19 && opened <= 20, `${opened} were let through unasked`)
})

await proxyTest(
  'closed: without a mixer calls are refused, but not those of others',
  async (t, lab) => {
    const { proxy, mixer } = await started(lab, [TEN], { mixer: { quotaFailure: 'closed' } })
    mixer.behaviour = 'away'
    const client = await lab.client(proxy)
    t.equal(await ask(client), 200, 'before the first answer')
    await new Promise(resolve => setImmediate(resolve))
    await client.send(get())
    const answer = await readAnswer(client)
    t.same([answer.status, codeOf(answer.body)], [503, 'quota_unavailable'])
    t.same(fieldsOf(answer.head, 'retry-after'), ['1'])
    t.equal(await ask(client, get().replace('acme', 'globex')), 200)
  },
)

await proxyTest('an operation has its own quota', async (t, lab) => {
  const { proxy } = await started(
    lab,
    [{ name: 'writes', of: 'operation:write', amount: 1, per: 'day' }],
    { service: { operations: [{ name: 'write', match: 'GET /write' }] } },
  )
  const client = await lab.client(proxy)
  t.equal(await ask(client, get('/write')), 200)
  t.equal(await refused(t, client, get('/write')), 'quota_exhausted')
  t.equal(await ask(client, get('/read')), 200)
})

await proxyTest('bytes: a call ends beyond its quota, and the next is refused', async (t, lab) => {
  const { proxy } = await started(lab, [{ name: 'out', of: 'egress', amount: 10, per: 'day' }])
  const client = await lab.client(proxy)
  t.equal(await ask(client), 200)
  t.equal(await refused(t, client), 'quota_exhausted')
})

await proxyTest('a call that reaches no deployment takes nothing', async (t, lab) => {
  const { proxy, deployment } = await started(lab, [{ ...TEN, amount: 2 }])
  await deployment.close()
  const client = await lab.client(proxy)
  for (let call = 0; call < 5; call += 1) t.equal(await ask(client), 503)
})

await proxyTest(
  'a tunnel is cut when its bytes are used up, and no other begins',
  async (t, lab) => {
    const deployment = await lab.deployment({
      serve: async peer => {
        peer.socket.on('data', (data: Buffer) => peer.socket.write(data))
      },
    })
    const mixer = new FakeMixer()
    const quotas = [{ name: 'bytes', of: 'bytes', amount: 100, per: 'day' }]
    mixer.left.set('bytes', 100)
    const acme = tenant('acme', deployment, { quotas, address: '127.0.0.1' })
    const proxy = await lab.proxy(
      {
        listeners: [{ name: 'public', mode: 'private', port: 0, protocol: 'tcp' }],
        tenants: [acme],
      },
      { askQuota: asks => mixer.take(asks) },
    )
    mixer.proxy = proxy
    const client = await lab.client(proxy)
    await client.send('x'.repeat(40))
    t.equal((await client.readBytes(40)).length, 40)
    await client.send('y'.repeat(40))
    await client.until(() => client.closed || client.ended, 'the cut')
    t.equal(proxy.rejected('quota_exhausted'), 0, 'it is usage')
    t.equal(proxy.limited()['quota'], 1)
    const other = await lab.client(proxy)
    await other.until(() => other.closed || other.ended, 'the refusal')
    t.equal(proxy.rejected('quota_exhausted'), 1)
    const { ingress, egress } = proxy.totals()
    t.ok(ingress === 80 && egress <= 80, `${ingress} and ${egress} bytes`)
  },
)

await proxyTest('an upgraded connection is cut when its bytes are used up', async (t, lab) => {
  const deployment = await lab.deployment({
    serve: async peer => {
      await peer.readHead()
      await peer.send(
        'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n',
      )
      peer.socket.on('data', (data: Buffer) => peer.socket.write(data))
    },
  })
  const mixer = new FakeMixer()
  mixer.left.set('in', 200)
  const quotas = [{ name: 'in', of: 'ingress', amount: 200, per: 'day' }]
  const proxy = await lab.proxy(
    { tenants: [tenant('acme', deployment, { quotas })] },
    { askQuota: asks => mixer.take(asks) },
  )
  mixer.proxy = proxy
  const client = await lab.client(proxy)
  await client.send(get('/', 'connection: upgrade\r\nupgrade: x\r\n'))
  t.match(await client.readHead(), 'HTTP/1.1 101 ')
  await client.send('x'.repeat(50))
  t.equal((await client.readBytes(50)).length, 50)
  await client.send('y'.repeat(150))
  await client.until(() => client.closed || client.ended, 'the cut')
  t.equal(proxy.totals().calls, 1)
})
