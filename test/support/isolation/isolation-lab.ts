/**
 * A proxy in a process of its own with four tenants: two that nothing happens to, one over HTTP/1.1 on both sides and one over
 * HTTP/2, and beside them two whose deployments, of either version, do what the test says.
 */
import type { Test } from 'tap'
import { AttackedProxy } from '../http2/attacked-proxy.ts'
import { type Noise, NoiseProcess } from './noise-process.ts'
import { QuietClient, type QuietFigures, quietDeployment } from './quiet-tenant.ts'

const MIB = 1024 * 1024
const BODY = 'nothing happened'
/** Of each quiet tenant, while the noise goes on. What is held by it would not be answered before it ends. */
const QUIET_CALLS = 50
/** Of CPU, in which nobody is served. */
const WORST_STALL_MS = 500
/** Of young objects, compiled code, and the 32 MiB of buffers that are kept for the next ones. */
const HELD_NOISE = 40 * MIB
const PEAK_NOISE = 128 * MIB
const PATIENCE_MS = 10_000
/** Connections that were left in good order rest in the pool of their tenant. */
const MOST_RESTING = 256

export class IsolationLab {
  readonly #proxy: AttackedProxy
  readonly #noise: NoiseProcess

  private constructor(proxy: AttackedProxy, noise: NoiseProcess) {
    this.#proxy = proxy
    this.#noise = noise
  }

  static async start(t: Test): Promise<IsolationLab> {
    const noise = await NoiseProcess.start(t)
    const tenantOf = (id: string, endpoint: string): Record<string, unknown> => ({
      id,
      hosts: [`${id}.test`],
      // Where ejections would end the noise early, there would be less to see.
      deployment: { endpoints: [endpoint], ejection: { failures: 1_000 } },
    })
    const proxy = await AttackedProxy.start(t, {
      listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0', protocol: 'http' }],
      tenants: [
        tenantOf('quiet1', await quietDeployment(t, 1, BODY)),
        tenantOf('quiet2', await quietDeployment(t, 2, BODY)),
        tenantOf('noisy1', noise.urls[1]),
        tenantOf('noisy2', noise.urls[2]),
      ],
      // All clients are at one address.
      sources: { connections: 'off', newConnections: 'off', badCredentials: 'off' },
    })
    return new IsolationLab(proxy, noise)
  }

  /** Makes the noise, and sees that the quiet tenants noticed nothing and that nothing of it is left. */
  async beside(t: Test, noise: Omit<Noise, 'port'>): Promise<void> {
    const port = this.#proxy.port()
    const before = await this.#proxy.figures()
    const quiet = ([1, 2] as const).map(
      version => new QuietClient({ port, host: `quiet${version}.test`, version, body: BODY }),
    )
    await this.#noise.begin({ ...noise, port })
    const served = await Promise.all(quiet.map(client => client.served(QUIET_CALLS)))
    t.same(served, [true, true], 'the quiet tenants are served while the noise goes on')
    const { connections, over } = await this.#noise.end()
    t.ok(connections > 0, `the deployment had ${connections} connections`)
    t.comment(`${over.join(' and ')} calls of it are over`)
    const figures = await Promise.all(quiet.map(client => client.end()))
    for (const [index, figure] of figures.entries()) check(t, `HTTP/${index + 1}`, figure)
    const { stallMs, cpuMs } = await this.#proxy.figures()
    t.comment(`${(cpuMs - before.cpuAfterMs).toFixed(0)} ms of CPU in all`)
    t.ok(stallMs <= WORST_STALL_MS, `nobody was served for ${stallMs.toFixed(0)} ms of CPU`)
    await this.#nothingLeft(t, noise.uploads === true)
    const after = await this.#proxy.figures()
    const held = after.heldBytes - before.heldBytes
    t.ok(held <= HELD_NOISE, `${(held / MIB).toFixed(1)} MiB are left`)
    const peak = after.peakBytes === before.peakBytes ? 0 : after.peakBytes - before.residentBytes
    t.ok(peak <= PEAK_NOISE, `${(peak / MIB).toFixed(1)} MiB at most`)
  }

  /** Clients are gone, and so is what was open for them, on both sides. */
  async #nothingLeft(t: Test, uploads: boolean): Promise<void> {
    // Of who vanishes while it has to wait with its upload nothing is heard until the wait is over.
    if (uploads) await this.#noise.cut()
    const deadline = performance.now() + PATIENCE_MS
    let connections = Number.POSITIVE_INFINITY
    let upstream = Number.POSITIVE_INFINITY
    // It shows no event: both are other processes.
    while ((connections > 0 || upstream > MOST_RESTING) && performance.now() < deadline) {
      ;({ connections } = await this.#proxy.figures())
      upstream = await this.#noise.open()
    }
    t.equal(connections, 0, 'no client is left')
    t.ok(upstream <= MOST_RESTING, `${upstream} connections to the deployment are left`)
    await this.#noise.cut()
  }
}

function check(t: Test, name: string, { calls, failures, latencies }: QuietFigures): void {
  const at = (part: number): number => latencies[Math.floor((latencies.length - 1) * part)] ?? 0
  const [p50, p95, worst] = [at(0.5), at(0.95), at(1)].map(ms => `${ms.toFixed(1)} ms`)
  t.same(failures, [], `${name}: each of ${calls} calls of the quiet tenant is served`)
  t.comment(`${name}: p50 ${p50}, p95 ${p95}, worst ${worst}`)
}
