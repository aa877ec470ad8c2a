import { nodeDeployment } from '../deployments/node.ts'
import { CPU_A_MESSAGE } from '../harness/figure.ts'
import { websocket } from '../loads/websocket.ts'
import type { Lane } from './lane.ts'

export const websocketMessages: Lane = {
  name: 'websocket',
  title: 'messages of 64 bytes over upgraded connections, there and back, the tenant by API key',
  traffic: 'websocket',
  credential: 'api-key',
  tls: false,
  tenants: 10,
  deployment: nodeDeployment,
  load: websocket(64),
  figure: CPU_A_MESSAGE,
  atLeast: {},
}
