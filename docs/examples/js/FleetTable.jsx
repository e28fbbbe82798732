// A live table of a fleet in React, on any transport.
import { useEffect, useMemo, useSyncExternalStore } from 'react';
import { createFleetStore, followFleet } from './fleetStore.js';

export function FleetTable({ transport }) {
  const store = useMemo(createFleetStore, []);
  useEffect(() => followFleet(store, transport), [store, transport]);
  const devices = useSyncExternalStore(store.subscribe, store.getSnapshot);

  return (
    <table>
      <tbody>
        {devices.map(({ deviceId, version, readings }) => (
          <tr key={deviceId}>
            <td>{deviceId}</td>
            <td>{version}</td>
            <td>{JSON.stringify(readings)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
