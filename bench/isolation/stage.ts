/** Who calls, and what stands behind the proxies. */
import { freePorts } from '../../test/support/free-ports.ts'
import type { Program } from '../harness/program.ts'
import { startNoisyDeployment, startQuietDeployment } from './deployments.ts'
import { IpcProgram } from './ipc-program.ts'
import type { NoiseTarget } from './noise/noise.ts'
import type { NoiseAnswer, NoiseQuestion } from './noise-maker.ts'
import { firstInLine, WITHOUT_THREADS } from './priority.ts'
import type { QuietOutcome, QuietRun } from './quiet-client.ts'
import { prepareScene, type Scene } from './scene.ts'

/** Calls a second of the quiet tenant. */
export const QUIET_RATE = 100

/** Of each kind of noise: longer than slow readers stay, so that some have left. A short look is warmed up for a short time. */
const MOST_WARM_UP_SECONDS = 6

/** For an answer beside the time that it was asked to take. */
const PATIENCE_SECONDS = 30

export class Stage {
  readonly scene: Scene
  readonly #deployments: readonly Program[]
  readonly #quiet: IpcProgram
  readonly #noise = new IpcProgram('noise-maker.ts')

  private constructor(scene: Scene, deployments: readonly Program[], first: readonly string[]) {
    this.scene = scene
    this.#deployments = deployments
    this.#quiet = new IpcProgram('quiet-client.ts', first, WITHOUT_THREADS)
  }

  static async set(folder: string): Promise<Stage> {
    const first = firstInLine()
    const [quiet = 0, noisy = 0] = await freePorts(2)
    const scene = await prepareScene(folder, { quiet, noisy })
    const deployments = [await startQuietDeployment(folder, quiet, first)]
    deployments.push(await startNoisyDeployment(noisy))
    return new Stage(scene, deployments, first)
  }

  /** Calls of the quiet tenant; the same seed gives the same moments. */
  async beQuiet(port: number, seconds: number, seed: number): Promise<QuietOutcome> {
    const run: QuietRun = { tenant: this.scene.quiet, port, rate: QUIET_RATE, seconds, seed }
    return this.#quiet.ask(run, seconds + PATIENCE_SECONDS)
  }

  /** Noise of these scenarios, until `beStill`. */
  async makeNoise(
    scenarios: readonly string[],
    { port, tlsPort }: { readonly port: number; readonly tlsPort: number },
  ): Promise<void> {
    const { noisy, badToken } = this.scene
    const targets = noisy
      .filter(({ id }) => scenarios.includes(id))
      .map(({ id, credential: key, source, host }): [string, NoiseTarget] => {
        return [id, { port, tlsPort, key, source, host, badToken }]
      })
    const question: NoiseQuestion = { do: 'start', targets: Object.fromEntries(targets) }
    await this.#noise.ask(question, PATIENCE_SECONDS)
  }

  async beStill(): Promise<NoiseAnswer> {
    const question: NoiseQuestion = { do: 'stop' }
    return this.#noise.ask(question, PATIENCE_SECONDS)
  }

  /**
   * So that a JIT has seen what there is to see: each of `scenarios` by itself, for `seconds` at most. Each is a tenant of its
   * own at an address of its own, so none waits for what is left of the one before.
   */
  async warmUp(
    scenarios: readonly string[],
    ports: { readonly port: number; readonly tlsPort: number },
    seconds: number,
  ): Promise<void> {
    for (const name of scenarios) {
      await this.makeNoise([name], ports)
      await this.beQuiet(ports.port, Math.min(seconds, MOST_WARM_UP_SECONDS), 1)
      await this.beStill()
    }
  }

  async clear(): Promise<void> {
    await this.#quiet.stop()
    await this.#noise.stop()
    for (const deployment of this.#deployments) await deployment.stop()
  }
}
