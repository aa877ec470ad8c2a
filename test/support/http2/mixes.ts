/** The same tests for each mix of versions: HTTP/1.1 and HTTP/2 on either side, in cleartext and over TLS. */
import { type Test, test } from 'tap'
import { TestAuthority } from '../certificates.ts'
import { eventually, keyOf, ProxyLab, tenant } from '../proxy-lab.ts'
import type { RunningProxy } from '../start-proxy.ts'
import type { Report } from './application.ts'
import type { Answer, Call, CallClient } from './call.ts'
import { type RunningDeployment, startDeployment } from './deployment.ts'
import { type ConnectionOptions, Http1Client } from './http1-client.ts'
import { Http2Client } from './http2-client.ts'

export interface Mix {
  readonly downstream: 1 | 2
  readonly upstream: 1 | 2
  /** TLS on both sides. */
  readonly secure: boolean
}

export const MIXES: readonly Mix[] = [false, true].flatMap(secure =>
  ([1, 2] as const).flatMap(downstream =>
    ([1, 2] as const).map(upstream => ({ downstream, upstream, secure })),
  ),
)

const NAMES = { 1: ['http/1.1', 'https/1.1'], 2: ['h2c', 'h2'] } as const

export function mixName({ downstream, upstream, secure }: Mix): string {
  return `${NAMES[downstream][secure ? 1 : 0]} to ${NAMES[upstream][secure ? 1 : 0]}`
}

export interface SceneOptions {
  /** Of the proxy, beside its tenants. */
  readonly config?: Record<string, unknown>
  /** Of tenant `acme`. */
  readonly acme?: Record<string, unknown>
  /** Of its deployment, beside its endpoint. */
  readonly deployment?: Record<string, unknown>
  /** Of the listener, beside its certificate. */
  readonly listenerTls?: Record<string, unknown>
}

/** A proxy with the listener `public` in front of the deployments of two tenants. */
export class Scene {
  readonly lab: ProxyLab
  readonly mix: Mix
  readonly ca: TestAuthority
  readonly acme: RunningDeployment
  readonly globex: RunningDeployment
  proxy!: RunningProxy

  private constructor(
    { lab, mix, ca }: Pick<Scene, 'lab' | 'mix' | 'ca'>,
    [acme, globex]: readonly [RunningDeployment, RunningDeployment],
  ) {
    this.lab = lab
    this.mix = mix
    this.ca = ca
    this.acme = acme
    this.globex = globex
  }

  static async create(
    t: Test,
    lab: ProxyLab,
    mix: Mix,
    options: SceneOptions = {},
  ): Promise<Scene> {
    const ca = await TestAuthority.create(t)
    const certificate = await ca.server(['service.test', 'acme.test', 'globex.test'], ['127.0.0.1'])
    const plan = { version: mix.upstream, certificate: mix.secure ? certificate : undefined }
    const deployments = [
      await startDeployment(t, 'acme', plan),
      await startDeployment(t, 'globex', plan),
    ] as const
    const scene = new Scene({ lab, mix, ca }, deployments)
    const files = [{ cert: certificate.certPath, key: certificate.keyPath }]
    const tls = mix.secure ? { tls: { certificates: files, ...options.listenerTls } } : {}
    const at = ({ endpoint }: RunningDeployment, more = {}): object => ({
      endpoints: [endpoint],
      ...(mix.secure ? { tls: { ca: ca.certPath } } : {}),
      ...more,
    })
    scene.proxy = await lab.proxy({
      listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0', ...tls }],
      tenants: [
        tenant('acme', scene.acme, {
          deployment: at(scene.acme, options.deployment),
          ...options.acme,
        }),
        tenant('globex', scene.globex, { deployment: at(scene.globex) }),
      ],
      ...options.config,
    })
    return scene
  }

  /** A client of the version that the mix has downstream, or of another. */
  async client(
    version: 1 | 2 = this.mix.downstream,
    options: ConnectionOptions = {},
  ): Promise<CallClient> {
    const port = this.proxy.port('public')
    const all = this.mix.secure
      ? { servername: 'service.test', ca: this.ca.cert, ...options }
      : options
    const client = version === 1 ? new Http1Client(port, all) : await Http2Client.connect(port, all)
    this.lab.closing(async () => client.close())
    return client
  }

  async http2Client(options: ConnectionOptions = {}): Promise<Http2Client> {
    return (await this.client(2, options)) as Http2Client
  }
}

/** `body` as a test of its own for each mix that `takes` takes. */
export async function mixTest(
  name: string,
  body: (t: Test, scene: Scene) => Promise<void>,
  options: SceneOptions & { readonly takes?: (mix: Mix) => boolean } = {},
): Promise<void> {
  await test(name, async t => {
    for (const mix of MIXES.filter(options.takes ?? (() => true))) {
      await t.test(mixName(mix), async t => {
        const lab = new ProxyLab()
        let scene: Scene | undefined
        try {
          scene = await Scene.create(t, lab, mix, options)
          await body(t, scene)
        } finally {
          await lab.close(t)
        }
        await noConnectionLeft(t, scene)
      })
    }
  })
}

async function noConnectionLeft(t: Test, { acme, globex }: Scene): Promise<void> {
  const connections = [...acme.connections, ...globex.connections]
  await eventually(() => connections.every(({ destroyed }) => destroyed))
  t.ok(
    connections.every(({ destroyed }) => destroyed),
    'the proxy keeps no connection to a deployment',
  )
}

/** A call as tenant `id`, by its key. */
export function as(id: string, { fields = {}, ...call }: Call = {}): Call {
  return { ...call, fields: { 'x-api-key': keyOf(id), ...fields } }
}

/** What the deployment says that it saw. */
export function reportOf({ body, status }: Answer): Report {
  if (status !== 200) throw new Error(`${status} ${body.toString()}`)
  return JSON.parse(body.toString()) as Report
}
