import type { RunningPeer } from '../../peers/peer.ts'
import type { Scene } from '../scene.ts'

export interface IsolationSetup {
  readonly scene: Scene
  /** An empty one for this peer alone. */
  readonly folder: string
  /** Where to listen, on 127.0.0.1: cleartext, and TLS. */
  readonly port: number
  readonly tlsPort: number
}

/** A proxy with the limits of `limits.ts`, as far as an expert can set them there. */
export interface IsolationPeer {
  readonly name: string
  /** Why it cannot take part on this machine; `undefined` where it can. */
  absence(): string | undefined
  version(): string
  start(setup: IsolationSetup): Promise<RunningPeer>
}
