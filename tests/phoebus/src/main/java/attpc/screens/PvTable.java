package attpc.screens;

import java.io.File;
import java.io.FileInputStream;
import java.io.InputStream;
import java.util.List;
import org.epics.vtype.VType;
import org.phoebus.applications.pvtable.model.PVTableItem;
import org.phoebus.applications.pvtable.model.PVTableModel;
import org.phoebus.applications.pvtable.persistence.PVTableXMLPersistence;
import org.phoebus.pv.PV;

/** A PV table: the PVs of its rows, when each has a value. */
final class PvTable implements FileReader {
    @Override
    public List<String> read(final File file) throws Exception {
        final PVTableModel model = new PVTableModel();
        try (InputStream stream = new FileInputStream(file)) {
            new PVTableXMLPersistence().read(model, stream);
            Jfx.until("not all PVs of the table had a value",
                    () -> model.getItems().stream().allMatch(PvTable::hasValue) ? true : null);
            return model.getItems().stream().map(PVTableItem::getName).toList();
        } finally {
            model.dispose();
        }
    }

    private static boolean hasValue(final PVTableItem item) {
        final VType value = item.getValue();
        return value != null && !PV.isDisconnected(value);
    }
}
